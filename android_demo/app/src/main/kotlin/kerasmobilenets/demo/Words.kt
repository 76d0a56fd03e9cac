// Statuses and backends in the user's language.

package kerasmobilenets.demo

import android.content.res.Resources
import kerasmobilenets.core.Backend
import kerasmobilenets.core.Entry
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
