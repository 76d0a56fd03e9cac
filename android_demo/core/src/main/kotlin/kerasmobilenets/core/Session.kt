// The queue of rows: one after the other, each in a process of its own, cooled down between, cancelled at any time.

package kerasmobilenets.core

/** One cell of models × backends. */
data class Job(val model: BundleModel, val backend: Backend) {
    val id: String get() = "${model.name} ${backend.id}"
}

/** Where a job stands. */
enum class Status {
    WAITING, COOLING, RUNNING, OK, FELL_BACK, FAILED, CANCELLED;

    /** Whether nothing more comes of it. */
    val isDone: Boolean get() = this >= OK
}

/** A job with what has become of it; one that runs has a row already when it is in a soak. */
data class Entry(val job: Job, val status: Status, val row: Row? = null)

/** Carries out one job elsewhere. Returns a failed row for a crash or when `limitSeconds` have passed. */
interface Worker {
    fun run(job: Job, limitSeconds: Int): Row

    /** As `run`, with a soak behind it; the row until now is told after each window of it. */
    fun soak(job: Job, minutes: Int, limitSeconds: Int, told: (Row) -> Unit): Row

    /** Makes a `run` in progress throw Cancelled. */
    fun cancel()
}

/** The jobs of a bundle and their results. `run` blocks its thread; the rest may be called from any. */
class Session(
    models: List<BundleModel>,
    backends: List<Backend>,
    private val worker: Worker,
    private val device: Device,
    private val limitSeconds: Int = 180,
    private val coolingSeconds: Int = 180,
    private val sleep: (Long) -> Unit = Thread::sleep,
) {
    /** Told after every change, on the thread that made it. */
    @Volatile var listener: () -> Unit = {}

    @Volatile var entries: List<Entry> =
        models.flatMap { model -> backends.map { Entry(Job(model, it), Status.WAITING) } }
        private set

    @Volatile private var stopping = false

    val isRunning: Boolean get() = entries.any { it.status == Status.RUNNING || it.status == Status.COOLING }
    val rows: List<Row> get() = entries.mapNotNull { it.row }

    /** Runs these jobs of the session in order; what is left after `cancel` is marked so. */
    fun run(jobs: List<Job>) {
        stopping = false
        for (job in jobs) set(job, Status.WAITING, null)
        for (job in jobs) {
            if (stopping) set(job, Status.CANCELLED, null) else runOne(job) { worker.run(job, limitSeconds) }
        }
    }

    /** Runs one job for minutes; a soak that is cancelled, or breaks off, keeps what it has. */
    fun soak(job: Job, minutes: Int) {
        stopping = false
        runOne(job) { worker.soak(job, minutes, limitSeconds + 60 * minutes) { set(job, Status.RUNNING, it) } }
    }

    fun cancel() {
        stopping = true
        worker.cancel()
    }

    private fun runOne(job: Job, measured: () -> Row) {
        set(job, Status.COOLING, null)
        coolDown()
        set(job, Status.RUNNING, null)
        try {
            if (stopping) throw Cancelled()
            val row = measured()
            val kept = rowOf(job)?.takeIf { !row.isOk }?.with("error" to "the soak broke off: ${row.error}") ?: row
            set(job, statusOf(kept), kept)
        } catch (cancelled: Cancelled) {
            val kept = rowOf(job)
            set(job, kept?.let(::statusOf) ?: Status.CANCELLED, kept)
        }
    }

    private fun rowOf(job: Job): Row? = entries.first { it.job == job }.row

    private fun coolDown() {
        var waited = 0
        while (!stopping && waited < coolingSeconds && device.thermalStatus() !in COOL) {
            sleep(1000)
            if (++waited % 60 == 0) listener() // a host that listens shall not take it for dead
        }
    }

    @Synchronized
    private fun set(job: Job, status: Status, row: Row?) {
        entries = entries.map { if (it.job == job) Entry(job, status, row) else it }
        listener()
    }

    private companion object {
        val COOL = setOf(null, "none", "light")
    }
}

/** OK only for a row that the asked backend ran. */
fun statusOf(row: Row): Status = when {
    !row.isOk -> Status.FAILED
    row.fellBack -> Status.FELL_BACK
    else -> Status.OK
}
