// Sums of durations, exactly as tflite/measurement/latency.py has them: linear percentiles, population deviation, 4 decimals.

package kerasmobilenets.core

import java.math.BigDecimal
import java.math.RoundingMode
import kotlin.math.floor
import kotlin.math.sqrt

/**
 * Sums up durations.
 *
 * @param nanoseconds One or more.
 * @return median, avg, min, max, stddev, p5, p90 and p95, each named with `_ms` and in milliseconds.
 */
fun statistics(nanoseconds: LongArray): Map<String, Double> {
    val ms = DoubleArray(nanoseconds.size) { nanoseconds[it] / 1e6 }.apply { sort() }
    val mean = ms.average()
    return mapOf(
        "median_ms" to percentile(ms, 50),
        "avg_ms" to mean,
        "min_ms" to ms.first(),
        "max_ms" to ms.last(),
        "stddev_ms" to sqrt(ms.sumOf { (it - mean) * (it - mean) } / ms.size),
        "p5_ms" to percentile(ms, 5),
        "p90_ms" to percentile(ms, 90),
        "p95_ms" to percentile(ms, 95),
    ).mapValues { (_, value) -> rounded(value, 4) }
}

/** Median of the last third over that of the first third, minus 1; null of fewer than 9 durations. */
fun drift(nanoseconds: LongArray): Double? {
    val third = nanoseconds.size / 3
    if (third < 3) return null
    fun median(from: Int) =
        percentile(DoubleArray(third) { nanoseconds[from + it].toDouble() }.apply { sort() }, 50)
    return rounded(median(nanoseconds.size - third) / median(0) - 1, 4)
}

/** The median of one or more values. */
fun median(values: List<Double>): Double = percentile(values.toDoubleArray().apply { sort() }, 50)

/** To so many decimals, as Python's round does it. */
fun rounded(value: Double, decimals: Int): Double =
    BigDecimal(value).setScale(decimals, RoundingMode.HALF_EVEN).toDouble()

private fun percentile(sorted: DoubleArray, percent: Int): Double {
    val place = (sorted.size - 1) * (percent / 100.0)
    val below = floor(place).toInt()
    val above = minOf(below + 1, sorted.size - 1)
    return sorted[below] + (sorted[above] - sorted[below]) * (place - below)
}
