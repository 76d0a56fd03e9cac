package kerasmobilenets.core

import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Test

class ComparisonTest {
    private val any = FakeBundle().open().models[0]
    private val cpu = Backend(Backend.Kind.CPU, 4)
    private val gpu = Backend(Backend.Kind.GPU)
    private val nnapi = Backend(Backend.Kind.NNAPI)
    private val standard = any.copy(name = "standardconvnet_float32", builder = "StandardConvNet", sizeBytes = 16_900_000)
    private val separable = any.copy(name = "mobilenetv1_float32", builder = "MobileNetV1")
    private val int8 = any.copy(name = "mobilenetv1_int8", builder = "MobileNetV1", quantization = "int8")
    private val qat = any.copy(name = "mobilenetv1_qat_int8", builder = "MobileNetV1", quantization = "int8", compression = "qat")
    private val other = any.copy(name = "mobilenetv2_float32", builder = "MobileNetV2", hostTop1 = null)

    private fun entry(model: BundleModel, backend: Backend, ms: Double?, top1: Double? = null, taken: Int = 65): Entry {
        val row = ms?.let { Row(Row.described(model, backend)).with("median_ms" to it, "top1" to top1, "nodes_delegated" to taken) }
        return Entry(Job(model, backend), row?.let(::statusOf) ?: Status.WAITING, row)
    }

    @Test
    fun `the papers' table stands on one backend`() {
        val entries = listOf(
            entry(other, cpu, 1.0), entry(standard, cpu, 12.0, 0.9), entry(separable, cpu, 4.0, 0.89), entry(qat, cpu, 1.9),
            entry(int8, cpu, 2.0), entry(int8, gpu, 0.1), entry(int8, nnapi, 0.05, taken = 0),
        )
        val table = papersTable(entries)
        assertEquals(cpu, table.backend)
        assertEquals(listOf(standard, separable, int8), table.lines.map { it.model })
        assertEquals(listOf(null, 3.0, 6.0), table.lines.map { it.speedUp })
        assertEquals(listOf(0.9, 0.89, 0.5), table.lines.map { it.top1 }) // the last from the host
        assertEquals(16.9, table.lines[0].sizeMb)
    }

    @Test
    fun `what was not measured has no speed-up, and a bundle without standard convolutions has two lines`() {
        val table = papersTable(listOf(entry(separable, cpu, null), entry(qat, cpu, 2.0), entry(other, cpu, null)))
        assertEquals(listOf(Step.SEPARABLE, Step.INT8), table.lines.map { it.step })
        assertEquals(listOf(null, 2.0), table.lines.map { it.milliseconds })
        assertEquals(listOf(null, null), table.lines.map { it.speedUp })
        assertEquals(emptyList<Line>(), papersTable(listOf(entry(other, cpu, 1.0))).lines)
        assertEquals(null, papersTable(listOf(entry(separable, cpu, null), entry(int8, cpu, null))).backend)
    }

    @Test
    fun `the fastest stands first, and what fell back or failed counts for nothing`() {
        val failed = Entry(Job(separable, gpu), Status.FAILED, Row.failed(separable, gpu, "no driver"))
        val found = fastestFirst(groups(listOf(
            entry(other, cpu, null), entry(separable, cpu, 4.0), failed, entry(separable, nnapi, 0.1, taken = 0), entry(int8, cpu, 2.0), entry(int8, gpu, 1.0),
        )))
        assertEquals(listOf(int8, separable, other), found.map { it.model })
        assertEquals(listOf(gpu, cpu), found[0].entries.map { it.job.backend })
        assertEquals(4.0, found[1].fastest!!.milliseconds)
        assertEquals(listOf(cpu, gpu, nnapi), found[1].entries.map { it.job.backend })
    }

    @Test
    fun `no point stands left of and above one of the best`() {
        val found = accuracyLatency(groups(listOf(
            entry(standard, cpu, 12.0, 0.92), entry(separable, cpu, 4.0, 0.89), entry(int8, cpu, 2.0, 0.90), entry(other, cpu, 1.0),
        )))
        assertEquals(listOf(int8, separable, standard), found.map { it.entry.job.model })
        assertEquals(listOf(true, false, true), found.map { it.isBest })
    }

    @Test
    fun `a model is judged by the figure of its task, as measured or else as on the host`() {
        val detector = separable.copy(task = Task.DETECTION, hostTop1 = null, hostMap = 0.4, hostMap50 = 0.7)
        val plain = entry(detector, cpu, 2.0)
        assertEquals(0.7, groups(listOf(plain))[0].score)
        assertEquals(0.8, groups(listOf(plain.copy(row = plain.row!!.with("map" to 0.5, "map50" to 0.8))))[0].score)
        assertEquals(0.4, groups(listOf(entry(detector.copy(task = Task.ATTRIBUTES), cpu, null)))[0].score)
        assertEquals(emptyList<Line>(), papersTable(listOf(plain, entry(detector.copy(quantization = "int8"), cpu, 1.0))).lines)
    }

    @Test
    fun `published figures are those of this phone`() {
        val rows = listOf("Pixel 3 (Android 10)", "Pixel 3a", "Samsung Galaxy S24").map { PublishedLatency(it, "TFLite CPU", 7.5, "x") }
        val model = any.copy(published = rows)
        assertEquals(listOf("Pixel 3 (Android 10)"), publishedOn(model, "Pixel 3").map { it.device })
        assertEquals(listOf("Pixel 3a"), publishedOn(model, "pixel 3a").map { it.device })
        assertEquals(listOf("Samsung Galaxy S24"), publishedOn(model, "SM-S921B").map { it.device })
        assertEquals(0, publishedOn(model, "Pixel 8").size)
    }
}
