package kerasmobilenets.core

import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class TableTest {
    private val model = FakeBundle().open().models[0].copy(name = "mobilenetv2_0.5_qat_int8", quantization = "int8", compression = "qat")
    private val job = Job(model, Backend(Backend.Kind.NNAPI, accelerator = "google-edgetpu"))

    private fun row(vararg more: Pair<String, Any?>) = Row(Row.described(model, job.backend)).with(*more)

    private fun entry(row: Row?) = Entry(job, row?.let(::statusOf) ?: Status.WAITING, row)

    @Test
    fun `cells are the words of the Python tables`() {
        val row = row("median_ms" to 0.5126, "p90_ms" to 12.34, "model_size_mb" to 0.7734, "top1" to 0.935,
            "nodes_total" to 65, "nodes_delegated" to 62, "partitions" to 2, "thermal_start" to "none", "thermal_end" to "light")
        assertEquals(
            Cells("mobilenetv2_0.5", "int8 QAT", "nnapi:google-edgetpu", "0.77", "0.513", "12.3", "93.5%", "62/65", "2", "none→light"),
            cells(entry(row)),
        )
        assertEquals("mAP 61.0%", cells(entry(row("map" to 0.61))).top1) // of several labels an image
        assertEquals("mAP@0.5 82.0%", cells(entry(row("map" to 0.61, "map50" to 0.82))).top1) // of boxes
    }

    @Test
    fun `whole numbers come back from JSON without their point and are shown with it`() {
        val whole = row("model_size_mb" to 1.0, "median_ms" to 2.0, "top1" to 1.0, "nodes_total" to 65, "nodes_delegated" to 0)
        val cells = cells(entry(Row.of(org.json.JSONObject(whole.toJson().toString()))))
        assertEquals(listOf("1.00", "2.00", "100.0%"), listOf(cells.size, cells.median, cells.top1))
        assertTrue(Row.of(whole.toJson()).fellBack)
    }

    @Test
    fun `what is unknown is a dash`() {
        val cells = cells(entry(null))
        assertEquals(listOf(UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN), listOf(cells.median, cells.size, cells.top1, cells.operators))
        assertEquals("≥62/65", cells(entry(row("nodes_total" to 65, "nodes_delegated" to 62))).operators)
    }

    @Test
    fun `a row that fell back is told from one that NNAPI ran`() {
        val fell = row("median_ms" to 3.0, "nodes_total" to 65, "nodes_delegated" to 0, "partitions" to 0)
        assertTrue("fell back to the CPU" in markdown(listOf(entry(fell))))
        assertTrue(csv(listOf(fell)).lines()[1].startsWith("fell back to the CPU,"))
        assertFalse("fell back" in markdown(listOf(entry(fell.with("nodes_delegated" to 65)))))
    }

    @Test
    fun `CSV quotes what holds commas and quotes`() {
        val line = csv(listOf(Row.failed(model, job.backend, "it said \"no\", twice"))).lines()[1]
        assertTrue("\"it said \"\"no\"\", twice\"" in line, line)
    }

    @Test
    fun `Markdown keeps its columns when a reason holds a bar`() {
        val lines = markdown(listOf(entry(Row.failed(model, job.backend, "a|b")))).trimEnd().lines()
        assertEquals(3, lines.size)
        assertTrue("failed: a\\|b" in lines[2])
    }

    @Test
    fun `a row comes back from JSON as it was`() {
        val row = row("median_ms" to 0.5126, "top1" to 1.0, "error" to "NNAPI error 4")
        val back = Row.of(org.json.JSONObject(row.toJson().toString()))
        assertEquals(row.text("error"), back.text("error"))
        assertEquals(row.number("median_ms"), back.number("median_ms"))
        assertEquals(1.0, back.number("top1")!!.toDouble())
        assertEquals(null, back.number("p95_ms"))
    }
}
