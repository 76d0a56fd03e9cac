// Statuses and backends in the user's language.

package kerasmobilenets.demo

import android.content.res.Resources
import kerasmobilenets.core.Backend
import java.util.Locale
import kerasmobilenets.core.Entry
import kerasmobilenets.core.Group
import kerasmobilenets.core.Soak
import kerasmobilenets.core.Status
import kerasmobilenets.core.UNKNOWN
import kerasmobilenets.core.oneLine

fun Resources.backendName(backend: Backend): String = when (backend.kind) {
    Backend.Kind.CPU -> getQuantityString(R.plurals.backend_cpu, backend.threads, backend.threads)
    Backend.Kind.GPU -> getString(R.string.backend_gpu)
    Backend.Kind.NNAPI ->
        backend.accelerator?.let { getString(R.string.backend_nnapi_named, it) } ?: getString(R.string.backend_nnapi)
}

fun Resources.statusWords(entry: Entry): String = when (entry.status) {
    Status.WAITING -> getString(R.string.status_waiting)
    Status.COOLING -> getString(R.string.status_cooling)
    Status.RUNNING -> getString(R.string.status_running)
    Status.OK -> getString(R.string.status_ok, thermalWords(entry))
    Status.FELL_BACK -> getString(R.string.status_fell_back, backendName(entry.job.backend))
    Status.FAILED -> getString(R.string.status_failed, oneLine(entry.row?.error))
    Status.CANCELLED -> getString(R.string.status_cancelled)
}

/** Size, parameters and accuracy of a model's file, and what its rows share. */
fun Resources.sizeWords(group: Group): String {
    val model = group.model
    val top1 = group.fastest?.row?.number("top1")?.toDouble() ?: model.hostTop1
    fun figure(pattern: String, value: Double) = String.format(Locale.ROOT, pattern, value)
    return listOfNotNull(
        model.sizeBytes?.let { getString(R.string.megabytes, figure("%.2f", it / 1e6)) },
        model.parameters?.let { getString(R.string.parameters_of, figure("%.2f", it / 1e6)) },
        top1?.let { getString(R.string.top1_of, figure("%.1f%%", 100 * it)) },
    ).joinToString(" · ")
}

/** What a soak has shown, in a sentence. */
fun Resources.soakWords(soak: Soak): String {
    val minutes = getString(R.string.minutes, soak.minutes)
    val done = String.format(Locale.ROOT, "%.1f", (soak.windows.lastOrNull()?.endS ?: 0.0) / 60)
    return listOfNotNull(
        if (soak.isComplete) getString(R.string.soak_of, minutes) else getString(R.string.soak_until, done, minutes),
        soak.lastOverFirst?.let { getString(R.string.soak_ratio, String.format(Locale.ROOT, "%.2f", it)) },
        soak.throttledS?.let { getString(R.string.soak_throttled, String.format(Locale.ROOT, "%.1f", it / 60)) }
            ?: getString(R.string.soak_held).takeIf { soak.lastOverFirst != null },
        soak.mahPerThousand?.let { getString(R.string.soak_battery, String.format(Locale.ROOT, "%.3f", it)) },
    ).joinToString(" · ")
}

/** The thermal status as Android names it, such as "light". */
fun Resources.thermalWord(status: String?): String = when (status) {
    null -> UNKNOWN
    "none" -> getString(R.string.thermal_none)
    "light" -> getString(R.string.thermal_light)
    "moderate" -> getString(R.string.thermal_moderate)
    "severe" -> getString(R.string.thermal_severe)
    else -> getString(R.string.thermal_critical)
}

private fun Resources.thermalWords(entry: Entry): String =
    listOf("thermal_start", "thermal_end").map { thermalWord(entry.row?.text(it)) }.distinct().joinToString(" → ")
