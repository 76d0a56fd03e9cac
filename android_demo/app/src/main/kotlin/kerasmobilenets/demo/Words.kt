// Statuses and backends in the user's language.

package kerasmobilenets.demo

import android.content.res.Resources
import kerasmobilenets.core.Backend
import kerasmobilenets.core.Cells
import kerasmobilenets.core.Entry
import kerasmobilenets.core.Status
import kerasmobilenets.core.oneLine

fun Resources.backendName(backend: Backend): String = when (backend.kind) {
    Backend.Kind.CPU -> getString(R.string.backend_cpu, backend.threads)
    Backend.Kind.GPU -> getString(R.string.backend_gpu)
    Backend.Kind.NNAPI ->
        backend.accelerator?.let { getString(R.string.backend_nnapi_named, it) } ?: getString(R.string.backend_nnapi)
}

fun Resources.statusWords(entry: Entry, cells: Cells): String = when (entry.status) {
    Status.WAITING -> getString(R.string.status_waiting)
    Status.COOLING -> getString(R.string.status_cooling)
    Status.RUNNING -> getString(R.string.status_running)
    Status.OK -> getString(R.string.status_ok, cells.thermal)
    Status.FELL_BACK -> getString(R.string.status_fell_back, backendName(entry.job.backend))
    Status.FAILED -> getString(R.string.status_failed, oneLine(entry.row?.error))
    Status.CANCELLED -> getString(R.string.status_cancelled)
}
