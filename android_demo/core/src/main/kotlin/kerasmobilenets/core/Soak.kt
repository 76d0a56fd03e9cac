// A soak: one inference after the other for minutes, summed up in windows, so that it shows whether a phone holds its latency.

package kerasmobilenets.core

import kotlin.math.roundToInt
import org.json.JSONArray
import org.json.JSONObject

/** A part of a soak: its end in seconds from the start, and the median of its inferences. */
data class SoakWindow(val endS: Double, val inferences: Int, val medianMs: Double, val thermal: String?)

/**
 * What a soak has measured until now.
 *
 * @property minutes How long it was asked to take.
 * @property isComplete Whether it came to its end.
 * @property mahUsed Charge that the whole phone has drawn from its battery; null while charging or when unknown.
 */
data class Soak(
    val minutes: Int,
    val windows: List<SoakWindow>,
    val isComplete: Boolean,
    val mahUsed: Double? = null,
) {
    val inferences: Int get() = windows.sumOf { it.inferences }

    /** Latency of the last minute over that of the first; of less than three minutes the last third over the first. */
    val lastOverFirst: Double?
        get() {
            if (windows.size < 3) return null
            val length = windows.last().endS / windows.size
            val count = (minOf(60.0, windows.last().endS / 3) / length).roundToInt()
            return rounded(typical(windows.takeLast(count)) / typical(windows.take(count)), 4)
        }

    /** When the first of three windows in a row began that were a tenth slower than the first three; null if none. */
    val throttledS: Double?
        get() {
            if (windows.size < 6) return null
            val slow = THROTTLED * typical(windows.take(3))
            val from = (3..windows.size - 3).firstOrNull { at -> (at..at + 2).all { windows[it].medianMs > slow } }
            return from?.let { rounded(windows[it - 1].endS, 1) }
        }

    val mahPerThousand: Double?
        get() = mahUsed?.takeIf { inferences > 0 }?.let { rounded(1000 * it / inferences, 4) }

    /** As results.json has it. */
    fun toJson(): JSONObject = JSONObject()
        .put("minutes", minutes)
        .put("is_complete", isComplete)
        .put("inferences", inferences)
        .put("last_over_first", lastOverFirst ?: JSONObject.NULL)
        .put("throttled_s", throttledS ?: JSONObject.NULL)
        .put("mah_per_1000", mahPerThousand ?: JSONObject.NULL)
        .put("windows", JSONArray(windows.map { window ->
            JSONObject()
                .put("end_s", rounded(window.endS, 1))
                .put("inferences", window.inferences)
                .put("median_ms", window.medianMs)
                .put("thermal", window.thermal ?: JSONObject.NULL)
        }))

    companion object {
        private const val THROTTLED = 1.1

        fun of(json: JSONObject): Soak {
            val windows = json.getJSONArray("windows").objects().map {
                SoakWindow(it.getDouble("end_s"), it.getInt("inferences"), it.getDouble("median_ms"), it.text("thermal"))
            }
            val used = json.real("mah_per_1000")?.let { it * json.getInt("inferences") / 1000 }
            return Soak(json.getInt("minutes"), windows, json.getBoolean("is_complete"), used)
        }

        private fun typical(windows: List<SoakWindow>): Double = median(windows.map { it.medianMs })
    }
}

/**
 * Runs a soak.
 *
 * @param minutes How long; windows are of 1 second when it is 1, of 10 otherwise.
 * @param clock Nanoseconds, rising.
 * @param cancelled Asked between inferences; what was measured until then is kept.
 * @param told What was measured until now, after each window.
 * @param infer Runs one inference and returns its nanoseconds.
 */
fun soak(
    minutes: Int,
    device: Device,
    clock: () -> Long = System::nanoTime,
    cancelled: () -> Boolean = { false },
    told: (Soak) -> Unit = {},
    infer: () -> Long,
): Soak {
    val length = (if (minutes == 1) 1 else 10) * 1_000_000_000L
    val start = clock()
    val charge = device.chargeMah()
    var soak = Soak(minutes, emptyList(), isComplete = false)
    while (!soak.isComplete) {
        val until = ((clock() - start) / length + 1) * length
        val times = mutableListOf<Double>()
        do {
            if (cancelled()) return soak
            times += infer() / 1e6
        } while (clock() - start < until)
        val end = (clock() - start) / 1e9
        val window = SoakWindow(end, times.size, rounded(median(times), 4), device.thermalStatus())
        val left = device.chargeMah()
        val used = if (charge == null || left == null || left > charge) null else charge - left
        soak = soak.copy(windows = soak.windows + window, mahUsed = used, isComplete = end >= 60 * minutes)
        told(soak)
    }
    return soak
}
