// What the opening screen shows of a session: the papers' table, models as groups of backends, accuracy over latency.

package kerasmobilenets.core

/** What a line of the papers' table stands for. */
enum class Step { STANDARD, SEPARABLE, INT8 }

/**
 * A line of the papers' table.
 *
 * @property milliseconds Median on the table's backend; null until it is measured there.
 * @property speedUp Of the first line's latency; null for itself, and until both are measured.
 */
data class Line(
    val step: Step,
    val model: BundleModel,
    val milliseconds: Double?,
    val top1: Double?,
    val speedUp: Double?,
) {
    val sizeMb: Double? get() = model.sizeBytes?.let { it / 1e6 }
}

/** Standard convolutions, separable ones, and those in int8, all on one backend; null before one is measured. */
data class PapersTable(val backend: Backend?, val lines: List<Line>)

/**
 * The papers' table of the models that a session has: StandardConvNet, MobileNetV1 (or the first float32 model that
 * has an int8 form) and its int8 form. Its backend is the one on which most of them ran, the fastest of these.
 */
fun papersTable(entries: List<Entry>): PapersTable {
    val models = entries.map { it.job.model }.distinctBy { it.name }.filter { it.task == Task.CLASSIFICATION }
    val floats = models.filter { it.quantization == "none" && it.compression == null }
    fun int8(of: BundleModel) = models.filter { it.quantization == "int8" && familyName(it) == familyName(of) }
        .minByOrNull { listOf(null, "qat", "pqat").indexOf(it.compression).let { place -> if (place < 0) 9 else place } }
    val standard = floats.firstOrNull { it.builder == "StandardConvNet" }
    val small = floats.filter { it != standard && int8(it) != null }
    val separable = small.firstOrNull { it.builder == "MobileNetV1" } ?: small.firstOrNull()
    val steps = listOf(Step.STANDARD to standard, Step.SEPARABLE to separable, Step.INT8 to separable?.let(::int8))
        .mapNotNull { (step, model) -> model?.let { step to it } }

    val measured = entries.filter { it.isMeasured && steps.any { (_, model) -> model == it.job.model } }
    val backend = measured.groupBy { it.job.backend }
        .minWithOrNull(compareBy({ -it.value.size }, { it.value.minOf(Entry::milliseconds) }))?.key
    fun on(model: BundleModel) = measured.firstOrNull { it.job.model == model && it.job.backend == backend }
    val base = steps.firstOrNull()?.let { (_, model) -> on(model)?.milliseconds }
    return PapersTable(backend, steps.mapIndexed { place, (step, model) ->
        val row = on(model)?.row
        val milliseconds = on(model)?.milliseconds
        val top1 = row?.number("top1")?.toDouble() ?: model.hostTop1
        val speedUp = if (place == 0 || base == null || milliseconds == null) null else base / milliseconds
        Line(step, model, milliseconds, top1, speedUp)
    })
}

/** A model with its entries. */
data class Group(val model: BundleModel, val entries: List<Entry>) {
    /** The fastest of those that ran where they were asked to. */
    val fastest: Entry? get() = entries.filter { it.isMeasured }.minByOrNull(Entry::milliseconds)
}

/** Models as groups. */
fun groups(entries: List<Entry>): List<Group> = entries.groupBy { it.job.model }.map { (model, own) -> Group(model, own) }

/** The fastest model first, and in each the fastest backend; what has no latency of its own stands behind. */
fun fastestFirst(groups: List<Group>): List<Group> = groups
    .map { group ->
        group.copy(entries = group.entries.sortedBy { if (it.isMeasured) it.milliseconds else Double.MAX_VALUE })
    }
    .sortedBy { it.fastest?.milliseconds ?: Double.MAX_VALUE }

/** How right it is by the figure of its task, 0..1: as measured at the fastest backend, or else as on the host. */
val Group.score: Double? get() = fastest?.row?.number(model.task.figure)?.toDouble() ?: model.hostScore

/** A model at its fastest backend, with the figure of its task, and whether none beats it in both. */
data class Point(val entry: Entry, val milliseconds: Double, val score: Double, val isBest: Boolean)

/** Accuracy over latency, the fastest first; of models of one task, whose figures can be compared. */
fun accuracyLatency(groups: List<Group>): List<Point> {
    var best = -1.0
    return groups.mapNotNull { group ->
        val fastest = group.fastest ?: return@mapNotNull null
        Point(fastest, fastest.milliseconds, group.score ?: return@mapNotNull null, isBest = false)
    }.sortedWith(compareBy({ it.milliseconds }, { -it.score })).map { point ->
        point.copy(isBest = point.score > best).also { best = maxOf(best, point.score) }
    }
}

/** Whether its latency is one of the backend it names. */
val Entry.isMeasured: Boolean get() = row != null && statusOf(row) == Status.OK && row.number("median_ms") != null

/** Its median; of a measured entry. */
val Entry.milliseconds: Double get() = row!!.number("median_ms")!!.toDouble()

/** What was published of the model on this phone, by Android's Build.MODEL. */
fun publishedOn(model: BundleModel, buildModel: String): List<PublishedLatency> = model.published.filter { published ->
    val device = published.device.substringBefore(" (") // such as Pixel 3 (Android 10)
    device.equals(buildModel, ignoreCase = true) || SAMSUNG[device]?.let { buildModel.startsWith(it, ignoreCase = true) } == true
}

private val SAMSUNG = mapOf("Samsung Galaxy S24" to "SM-S921", "Samsung Galaxy S25" to "SM-S931")
