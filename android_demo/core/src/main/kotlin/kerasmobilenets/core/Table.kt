// What the table shows of a row, and the table as CSV and Markdown; the words are those of tflite/results/tables.py.

package kerasmobilenets.core

import java.util.Locale

const val UNKNOWN = "–"

/** The texts of one row. */
data class Cells(
    val model: String,
    val variant: String,
    val backend: String,
    val size: String,
    val median: String,
    val p90: String,
    val top1: String,
    val operators: String,
    val partitions: String,
    val thermal: String,
)

/** The texts of a job, before and after it was measured. */
fun cells(entry: Entry): Cells {
    val row = entry.row
    val thermal = listOf(row?.text("thermal_start"), row?.text("thermal_end")).filterNotNull().distinct()
    return Cells(
        familyName(entry.job.model),
        variantName(entry.job.model),
        entry.job.backend.id,
        row?.number("model_size_mb").let { if (it == null) UNKNOWN else format("%.2f", it.toDouble()) },
        milliseconds(row?.number("median_ms")),
        milliseconds(row?.number("p90_ms")),
        score(row),
        operators(row),
        row?.number("partitions")?.toString() ?: UNKNOWN,
        thermal.joinToString("→").ifEmpty { UNKNOWN },
    )
}

/** The model's name without its compression and quantization. */
fun familyName(model: BundleModel): String =
    listOf(model.quantization, quantizationName(model.quantization), model.compression)
        .fold(model.name) { name, ending -> name.removeSuffix("_$ending") }

/** Such as "float32", "int8 PTQ" or "int8 QAT". */
fun variantName(model: BundleModel): String {
    val quantization = quantizationName(model.quantization)
    return when {
        model.compression != null -> "$quantization ${COMPRESSIONS[model.compression] ?: model.compression}"
        model.quantization == "int8" -> "int8 PTQ"
        else -> quantization
    }
}

/** Three figures that mean something. */
fun milliseconds(value: Number?): String {
    val ms = value?.toDouble() ?: return UNKNOWN
    return format(if (ms < 1) "%.3f" else if (ms < 10) "%.2f" else "%.1f", ms)
}

/** All fields of all rows, and what became of each (RFC 4180). */
fun csv(rows: List<Row>): String =
    (listOf(listOf("outcome") + Row.FIELDS) + rows.map { listOf(words(statusOf(it))) + texts(it) })
        .joinToString("") { line -> line.joinToString(",", transform = ::quoted) + "\r\n" }

/** The table for an issue or a README. */
fun markdown(entries: List<Entry>): String {
    val titles = listOf(
        "model", "variant", "backend", "size MB", "median ms", "p90 ms", "top-1",
        "operators", "partitions", "thermal", "status",
    )
    val lines = entries.filter { it.row != null }.map { entry ->
        val c = cells(entry)
        val status = listOfNotNull(words(entry.status), entry.row?.error).joinToString(": ")
        listOf(
            c.model, c.variant, c.backend, c.size, c.median, c.p90, c.top1, c.operators, c.partitions, c.thermal, status,
        )
    }
    val rule = titles.indices.map { if (it in 3..6) "--:" else "---" }
    return (listOf(titles, rule) + lines)
        .joinToString("") { line -> "| " + line.joinToString(" | ") { it.replace("|", "\\|") } + " |\n" }
}

private val COMPRESSIONS = mapOf(
    "qat" to "QAT", "prune" to "pruned", "pqat" to "PQAT", "channels" to "channel-pruned", "cluster" to "clustered",
    "cqat" to "CQAT",
)

private fun quantizationName(quantization: String?) = when (quantization) {
    "none" -> "float32"
    "dynamic" -> "dynamic range"
    null -> UNKNOWN
    else -> quantization
}

/** Top-1; of several labels an image, and of boxes, mean average precision by its name. */
private fun score(row: Row?): String = listOf("top1" to "", "map50" to "mAP@0.5 ", "map" to "mAP ")
    .firstNotNullOfOrNull { (field, name) -> row?.number(field)?.let { name + format("%.1f%%", 100 * it.toDouble()) } } ?: UNKNOWN

private fun operators(row: Row?): String {
    val total = row?.number("nodes_total") ?: return UNKNOWN
    val taken = row.number("nodes_delegated") ?: return "$UNKNOWN/$total"
    return if (row.number("partitions") == null) "≥$taken/$total" else "$taken/$total"
}

private fun texts(row: Row) = row.values.values.map { it?.toString().orEmpty() }

private fun words(status: Status) = if (status == Status.FELL_BACK) "fell back to the CPU" else status.name.lowercase()

private fun quoted(text: String) =
    if (text.any { it in ",\"\r\n" }) "\"${text.replace("\"", "\"\"")}\"" else text

private fun format(pattern: String, value: Double) = String.format(Locale.ROOT, pattern, value)
