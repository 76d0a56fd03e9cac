// A bundle that the Python side wrote, measured end to end with the host's TensorFlow Lite; writes target/results.json,
// which the Python side then reads.

package kerasmobilenets.core

import java.io.File
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Assumptions.assumeTrue
import org.junit.jupiter.api.BeforeEach
import org.junit.jupiter.api.Test

class RealBundleTest {
    private val folder = System.getProperty("bundle").orEmpty()
    private val timing = Timing(warmupRuns = 3, warmupSeconds = 0.01, minRuns = 30, minSeconds = 0.02)

    @BeforeEach
    fun needsABundle() = assumeTrue(folder.isNotEmpty(), "run with -Dbundle=DIR")

    private val bundle by lazy { Bundle.open(Files { File(folder, it).readBytes() }) }

    @Test
    fun `every model answers as it did in Python`() {
        // One thread: on a busy machine XNNPACK's threads wait for each other by the minute.
        val rows = bundle.models.map { measure(bundle, it, Backend(Backend.Kind.CPU, 1), HostEngines, timing = timing) }
        val hashes = bundle.models.associate { it.path.substringAfterLast('/') to bundle.hashes.getValue(it.path) }
        val environment = Environment("JVM host", null, System.getProperty("os.name"), "2.15.0", 2, "2026-01-01T00:00:00Z", hashes)
        File("target/results.json").writeText(resultsJson(rows, environment).toString(2))
        for ((row, model) in rows zip bundle.models) {
            assertEquals("ok", row.text("status"), row.error)
            // This build computes int8 without XNNPACK, whose kernels round otherwise; exact figures are compared in Python.
            val steps = if (model.output.scale == 0f) 1e-4f else 8 * model.output.scale
            assertTrue(row.number("max_abs_err")!!.toFloat() <= steps, "${model.name} ${row.number("max_abs_err")}")
            val images = model.images.count
            model.hostTop1?.let { assertEquals(it, row.number("top1")!!.toDouble(), maxOf(1, images / 100) / images.toDouble() + 1e-9) }
            model.hostMap?.let { assertEquals(it, row.number("map")!!.toDouble(), 0.03, model.name) }
            assertTrue(row.number("median_ms")!!.toDouble() > 0)
            assertTrue(row.number("num_runs")!!.toInt() >= 30)
        }
    }

    @Test
    fun `a model with one changed byte is refused`() {
        val model = bundle.models.first()
        val spoilt = Bundle.open(Files { path ->
            File(folder, path).readBytes().also { if (path == model.path) it[it.size / 2] = (it[it.size / 2] + 1).toByte() }
        })
        val row = measure(spoilt, model, Backend(Backend.Kind.CPU, 1), HostEngines, timing = timing)
        assertEquals("failed", row.text("status"))
        assertTrue("SHA-256" in row.error!!, row.error)
        assertEquals(null, row.number("median_ms"))
    }

    @Test
    fun `a backend that the machine lacks gives a failed row with the reason`() {
        val row = measure(bundle, bundle.models.first(), Backend(Backend.Kind.GPU), HostEngines, timing = timing)
        assertEquals("failed", row.text("status"))
        assertEquals("the host has no gpu", row.error)
    }
}
