package kerasmobilenets.core

import org.json.JSONArray
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class MeasurementTest {
    private val quick = Timing(warmupRuns = 2, warmupSeconds = 0.0, minRuns = 20, minSeconds = 0.0)
    private val nnapi = Backend(Backend.Kind.NNAPI)

    private fun row(backend: Backend, engine: Engine, bundle: Bundle = FakeBundle().open(), timing: Timing = quick) =
        measure(bundle, bundle.models[0], backend, { _, _, _ -> engine }, timing = timing)

    @Test
    fun `a row says what was measured`() {
        val row = row(nnapi, FakeEngine(taken = 65))
        assertEquals("ok", row.text("status"), row.error)
        assertEquals("nnapi", row.text("backend"))
        assertEquals(65, row.number("nodes_delegated"))
        assertEquals(0.5, row.number("top1")) // labels 1 and 2, and the engine always says 1
        assertEquals(0.75, row.number("max_abs_err")) // the host's outputs are zeros
        assertEquals(20, row.number("num_runs"))
        assertEquals(2, row.number("num_warmup_runs"))
        assertEquals(1.0, row.number("median_ms"))
        assertEquals(2.0, row.number("gmacs_per_s")) // 2 million multiply-adds in a millisecond
        assertEquals(0.0, row.number("drift"))
        assertFalse(row.fellBack)
    }

    @Test
    fun `a delegate that took nothing fell back`() {
        val row = row(nnapi, FakeEngine(taken = 0))
        assertTrue(row.fellBack)
        assertEquals(Status.FELL_BACK, statusOf(row))
    }

    @Test
    fun `an accelerator that cannot be shown to have worked gets no row`() {
        val row = row(nnapi, FakeEngine(taken = null))
        assertEquals("failed", row.text("status"))
        assertEquals(null, row.number("median_ms"))
    }

    @Test
    fun `the CPU without XNNPACK is called cpu`() {
        val cpu = Backend(Backend.Kind.CPU, 4)
        assertEquals("cpu", row(cpu, FakeEngine(taken = 0)).text("backend"))
        assertEquals("xnnpack", row(cpu, FakeEngine(taken = 65)).text("backend"))
        assertEquals(4, row(cpu, FakeEngine(taken = 65)).number("threads"))
    }

    @Test
    fun `NNAPI's error number is kept`() {
        assertEquals("NNAPI error 4", row(nnapi, FakeEngine(taken = 65, errorNumber = 4)).error)
    }

    @Test
    fun `unknown labels give no top-1`() {
        assertEquals(null, row(nnapi, FakeEngine(65), FakeBundle(labels = emptyList()).open()).number("top1"))
    }

    @Test
    fun `several labels an image are scored by mean average precision`() {
        val fake = FakeBundle()
        fake.manifest.getJSONArray("images").getJSONObject(0).put("labels", JSONArray("[[1], []]"))
        fake.manifest.getJSONArray("models").getJSONObject(0).put("task", "attributes")
        val row = row(nnapi, FakeEngine(65), fake.open())
        assertEquals(0.5, row.number("map")) // both images have the same score for label 1, and one of them has it
        assertEquals(null, row.number("top1"))
    }

    /** Two boxes an image at most: the first image has one of class 1, the second one that is not found. */
    private fun detector() = FakeBundle().apply {
        contents["out.bin"] = ByteArray(52)
        manifest.getJSONObject("files").put("out.bin", sha256(ByteArray(52)))
        manifest.getJSONArray("images").getJSONObject(0)
            .put("labels", JSONArray("[[[0, 0, 0.5, 0.5, 1, 0]], [[0.5, 0.5, 1, 1, 2, 0]]]"))
        manifest.getJSONArray("models").getJSONObject(0).put("task", "detection").getJSONObject("output")
            .put("shape", JSONArray("[1, 2, 4]"))
    }

    private val found = listOf(floatArrayOf(0f, 0f, 0.5f, 0.5f, 0.2f, 0f, 0.9f, 0.9f), floatArrayOf(1f, 0f), floatArrayOf(0.75f, 0.25f), floatArrayOf(1f))
    private val shapes = listOf(listOf(1, 2, 4), listOf(1, 2), listOf(1, 2), listOf(1))

    @Test
    fun `boxes are scored by mean average precision, and compared with the host's box by box`() {
        val row = row(nnapi, FakeEngine(65, answers = found, shapes = shapes), detector().open())
        assertEquals("ok", row.text("status"), row.error)
        // Class 1: found where it is before it is found where it is not, all of its precision. Class 2: never found.
        for (figure in listOf("map", "map50")) assertEquals(0.5, row.number(figure)!!.toDouble(), 1e-9)
        assertEquals(0.75, row.number("max_abs_err")) // the host has no box, and that of 0.25 is behind the last
        assertEquals(null, row.number("top1"))
        val refused = row(nnapi, FakeEngine(65), detector().open())
        assertTrue("the model's tensors are not those of the manifest" in refused.error!!, refused.error)
    }

    @Test
    fun `both runs and seconds must be reached, and the longest time ends it`() {
        // Each run counts as a millisecond.
        assertEquals(50, row(nnapi, FakeEngine(65), timing = quick.copy(minSeconds = 0.05)).number("num_runs"))
        assertEquals(10, row(nnapi, FakeEngine(65), timing = quick.copy(maxSeconds = 0.01)).number("num_runs"))
    }

    @Test
    fun `an answer that is no number fails the row, whatever follows it`() {
        val row = row(nnapi, FakeEngine(65, answers = listOf(floatArrayOf(Float.NaN, 0.5f, 0f))))
        assertEquals("the outputs are not numbers", row.error)
    }

    @Test
    fun `a measurement can be cancelled`() {
        val bundle = FakeBundle().open()
        var asked = 0
        assertThrows(Cancelled::class.java) {
            measure(bundle, bundle.models[0], nnapi, { _, _, _ -> FakeEngine(65) }, timing = quick) { ++asked > 10 }
        }
    }

    @Test
    fun `a refusal is one line`() {
        val bundle = FakeBundle().open()
        val row = measure(bundle, bundle.models[0], nnapi, { _, _, _ -> throw IllegalStateException("no\n  driver ") })
        assertEquals("no driver", row.error)
        assertEquals(Status.FAILED, statusOf(row))
    }
}
