// Statuses and backends in the user's language.

package kerasmobilenets.demo

import android.content.res.Resources
import kerasmobilenets.core.Backend
import java.util.Locale
import kerasmobilenets.core.Entry
import kerasmobilenets.core.Group
import kerasmobilenets.core.Soak
import kerasmobilenets.core.Status
import kerasmobilenets.core.Task
import kerasmobilenets.core.UNKNOWN
import kerasmobilenets.core.oneLine
import kerasmobilenets.core.score

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
    fun figure(pattern: String, value: Double) = String.format(Locale.ROOT, pattern, value)
    return listOfNotNull(
        model.sizeBytes?.let { getString(R.string.megabytes, figure("%.2f", it / 1e6)) },
        model.parameters?.let { getString(R.string.parameters_of, figure("%.2f", it / 1e6)) },
        group.score?.let { scoreWords(model.task, it) },
    ).joinToString(" · ")
}

/** The figure of a task by its name, such as "top-1 93.5%". */
fun Resources.scoreWords(task: Task, score: Double): String {
    val name = when (task) {
        Task.CLASSIFICATION -> R.string.top1_of
        Task.ATTRIBUTES -> R.string.map_of
        Task.DETECTION -> R.string.map50_of
    }
    return getString(name, String.format(Locale.ROOT, "%.1f%%", 100 * score))
}

/** Classes with their scores, a line each; what is found several times has several. */
fun Resources.answerWords(answer: Answer): String = answer.said.joinToString("\n") { said ->
    val scores = said.scores.joinToString(", ") { String.format(Locale.ROOT, "%.0f%%", 100 * it) }
    getString(R.string.answer, answer.names.getOrNull(said.label) ?: "${said.label}", scores)
}.ifEmpty { getString(R.string.nothing) }

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
