package kerasmobilenets.core

import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Test

class SessionTest {
    private val models = FakeBundle().open().models
    private val backends = listOf(Backend(Backend.Kind.CPU, 1), Backend(Backend.Kind.NNAPI), Backend(Backend.Kind.GPU))

    private class Fake(val answer: (Job) -> Row) : Worker {
        val asked = mutableListOf<String>()
        var cancelled = false

        override fun run(job: Job, limitSeconds: Int): Row {
            asked += job.backend.id
            if (cancelled) throw Cancelled()
            return answer(job)
        }

        override fun soak(job: Job, minutes: Int, limitSeconds: Int, told: (Row) -> Unit): Row {
            for (count in 1..3) told(answer(job).with("sustained" to soakOf(count).toJson()))
            return run(job, limitSeconds)
        }

        private fun soakOf(count: Int) = Soak(10, List(count) { SoakWindow(10.0 * it, 9, 2.0, "none") }, isComplete = false)

        override fun cancel() {
            cancelled = true
        }
    }

    private class Weather(vararg statuses: String?) : LinuxDevice() {
        private val coming = statuses.toMutableList()
        override fun thermalStatus() = if (coming.size > 1) coming.removeAt(0) else coming[0]
    }

    private fun row(job: Job, vararg more: Pair<String, Any?>) = Row(Row.described(job.model, job.backend)).with(*more)

    private fun Session.runAll() = run(entries.map { it.job })

    private fun Session.statuses() = entries.map { it.status }

    @Test
    fun `one row's failure is not the next one's`() {
        val session = Session(models, backends, Fake { job ->
            if (job.backend.kind == Backend.Kind.NNAPI) Row.failed(job.model, job.backend, "the process crashed")
            else row(job, "nodes_delegated" to if (job.backend.kind == Backend.Kind.GPU) 0 else 65)
        }, Weather("none"))
        session.runAll()
        assertEquals(listOf(Status.OK, Status.FAILED, Status.FELL_BACK), session.statuses())
        assertEquals(3, session.rows.size)
    }

    @Test
    fun `cancelling keeps what is there and leaves the rest`() {
        lateinit var session: Session
        val worker = Fake { job ->
            if (job.backend.kind == Backend.Kind.NNAPI) {
                session.cancel()
                throw Cancelled()
            }
            row(job, "nodes_delegated" to 65)
        }
        session = Session(models, backends, worker, Weather("none"))
        session.runAll()
        assertEquals(listOf(Status.OK, Status.CANCELLED, Status.CANCELLED), session.statuses())
        assertEquals(listOf("cpu-1", "nnapi"), worker.asked)
        worker.cancelled = false
        session.run(listOf(session.entries[2].job))
        assertEquals(listOf(Status.OK, Status.CANCELLED), session.statuses().take(2))
    }

    @Test
    fun `a soak that is cancelled or breaks off keeps what it has`() {
        lateinit var session: Session
        val seen = mutableListOf<Int?>()
        val worker = Fake { row(it, "nodes_delegated" to 65) }
        session = Session(models, backends, worker, Weather("none"))
        session.listener = { seen += session.entries[0].row?.soak?.windows?.size }
        worker.cancelled = true
        session.soak(session.entries[0].job, 10)
        assertEquals(Status.OK, session.statuses()[0])
        assertEquals(listOf(null, null, 1, 2, 3, 3), seen)
        assertFalse(session.rows[0].soak!!.isComplete)

        var asked = 0
        val crashing = Fake { job -> if (++asked > 3) Row.failed(job.model, job.backend, "it crashed") else row(job, "nodes_delegated" to 65) }
        val broken = Session(models, backends, crashing, Weather("none"))
        broken.soak(broken.entries[0].job, 10)
        assertEquals("the soak broke off: it crashed", broken.rows[0].error)
        assertEquals(3, broken.rows[0].soak!!.windows.size)
    }

    @Test
    fun `a hot phone is left to cool down, but not for ever`() {
        val slept = mutableListOf<Long>()
        val seen = mutableListOf<Status>()
        val weather = Weather("severe", "moderate", "light")
        val session = Session(models, backends.take(1), Fake { row(it, "nodes_delegated" to 65) }, weather) { slept += it }
        session.listener = { seen += session.entries[0].status }
        session.runAll()
        assertEquals(listOf(1000L, 1000L), slept)
        assertEquals(listOf(Status.WAITING, Status.COOLING, Status.RUNNING, Status.OK), seen)

        slept.clear()
        Session(models, backends.take(1), Fake { row(it) }, Weather("severe"), coolingSeconds = 5) { slept += it }.runAll()
        assertEquals(5, slept.size)
    }
}
