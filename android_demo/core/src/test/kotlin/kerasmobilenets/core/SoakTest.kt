package kerasmobilenets.core

import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class SoakTest {
    /** A phone whose clock moves by hand: an inference takes what `latency` gives of the second it starts in, in ms. */
    private class Hand(val charge: (Int) -> Double? = { null }, val latency: (Double) -> Double) : LinuxDevice() {
        var now = 5_000_000_000L
        val seconds get() = (now - 5_000_000_000L) / 1e9
        override fun thermalStatus() = if (seconds < 240) "none" else "severe"
        private var asked = 0
        override fun chargeMah() = charge(asked++)

        fun soak(minutes: Int, cancelled: () -> Boolean = { false }, told: (Soak) -> Unit = {}) =
            soak(minutes, this, { now }, cancelled, told) {
                val spent = (latency(seconds) * 1e6).toLong()
                now += spent
                spent
            }
    }

    private val draining = { times: Int -> 3000.0 - 0.5 * times } // half a mAh in ten seconds of 500 inferences

    @Test
    fun `a phone that holds its latency is not throttled`() {
        val soak = Hand { 20.0 + 0.5 * kotlin.math.sin(it) }.soak(10)
        assertTrue(soak.isComplete)
        assertEquals(60, soak.windows.size)
        assertEquals(null, soak.throttledS)
        assertEquals(1.0, soak.lastOverFirst!!, 0.02)
        assertEquals(600.0 / 0.020, soak.inferences.toDouble(), 60.0)
        assertEquals(listOf("none", "severe"), soak.windows.map { it.thermal }.distinct())
    }

    @Test
    fun `throttling is found where it begins, and a short hiccup is none`() {
        val slow = { second: Double -> if (second < 250) 20.0 else 32.0 }
        val soak = Hand { if (it in 100.0..115.0) 60.0 else slow(it) }.soak(10)
        assertEquals(250.0, soak.throttledS!!, 0.1)
        assertEquals(1.6, soak.lastOverFirst)
    }

    @Test
    fun `thirty minutes have ten-second windows, one minute has seconds, compared by thirds`() {
        val long = Hand { 25.0 + it / 100 }.soak(30)
        assertEquals(180, long.windows.size)
        assertEquals((25 + 17.7) / 25.3, long.lastOverFirst!!, 0.01) // the last minute's middle over the first's
        val short = Hand { if (it < 40) 10.0 else 15.0 }.soak(1)
        assertEquals(60, short.windows.size)
        assertEquals(1.5, short.lastOverFirst)
        assertEquals(40.0, short.throttledS!!, 0.1)
    }

    @Test
    fun `a model slower than a window is measured as it is`() {
        val soak = Hand { 2500.0 }.soak(1)
        assertTrue(soak.isComplete)
        assertTrue(soak.windows.all { it.inferences == 1 })
        assertEquals(24, soak.inferences)
    }

    @Test
    fun `what is cancelled keeps what it has`() {
        val phone = Hand { 20.0 }
        val told = mutableListOf<Soak>()
        val soak = phone.soak(30, cancelled = { phone.seconds > 95 }) { told += it }
        assertFalse(soak.isComplete)
        assertEquals(9, soak.windows.size)
        assertEquals(soak, told.last())
        assertEquals(1.0, soak.lastOverFirst)
        assertEquals(null, phone.soak(1, cancelled = { true }).lastOverFirst)
    }

    @Test
    fun `the battery's drain is that of a thousand inferences, unknown while it is charged`() {
        assertEquals(1.0, Hand(draining) { 20.0 }.soak(10).mahPerThousand!!, 0.01)
        assertEquals(null, Hand({ 3000.0 + it }) { 20.0 }.soak(10).mahPerThousand)
        assertEquals(null, Hand({ if (it == 0) 3000.0 else null }) { 20.0 }.soak(10).mahPerThousand)
    }

    @Test
    fun `a soak comes back from results_json as it was`() {
        val soak = Hand(draining) { 20.0 + it / 50 }.soak(10)
        val back = Soak.of(org.json.JSONObject(soak.toJson().toString()))
        assertEquals(soak.toJson().toString(), back.toJson().toString())
        val row = Row.failed(FakeBundle().open().models[0], Backend(Backend.Kind.GPU), "no").with("sustained" to soak.toJson())
        assertEquals(soak.throttledS, Row.of(org.json.JSONObject(row.toJson().toString())).soak!!.throttledS)
    }
}
