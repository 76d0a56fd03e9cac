package kerasmobilenets.core

import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Test

class StatisticsTest {
    // The figures are numpy's: statistics(...) and drift(...) of tflite/measurement/latency.py on the same durations.
    @Test
    fun `sums are those of the Python side`() {
        val durations = LongArray(101) { (1_000_000 + (it * 7919L % 101) * 12_345 + (it % 7) * 333) }
        val expected = mapOf(
            "median_ms" to 1.6179,
            "avg_ms" to 1.6182,
            "min_ms" to 1.0,
            "max_ms" to 2.2358,
            "stddev_ms" to 0.3599,
            "p5_ms" to 1.0617,
            "p90_ms" to 2.1111,
            "p95_ms" to 2.1728,
        )
        assertEquals(expected, statistics(durations))
        assertEquals(0.0074, drift(durations))
    }

    @Test
    fun `one duration is every figure`() {
        val figures = statistics(longArrayOf(2_500_000))
        assertEquals(2.5, figures["p95_ms"])
        assertEquals(2.5, figures["median_ms"])
        assertEquals(0.0, figures["stddev_ms"])
        assertEquals(null, drift(longArrayOf(2_500_000)))
    }

    @Test
    fun `an even number of durations has its median between two`() {
        assertEquals(2.5, statistics(longArrayOf(4_000_000, 1_000_000, 3_000_000, 2_000_000))["median_ms"])
    }
}
