// Bundles that the Python side wrote, measured end to end with the host's TensorFlow Lite; writes target/results.json,
// which the Python side then reads.

package kerasmobilenets.core

import java.io.File
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Assumptions.assumeTrue
import org.junit.jupiter.api.BeforeEach
import org.junit.jupiter.api.Test

class RealBundleTest {
    private val folders = System.getProperty("bundle").orEmpty().split(File.pathSeparator).filter(String::isNotEmpty)
    private val timing = Timing(warmupRuns = 3, warmupSeconds = 0.01, minRuns = 30, minSeconds = 0.02)

    @BeforeEach
    fun needsABundle() = assumeTrue(folders.isNotEmpty(), "run with -Dbundle=DIR, or several")

    private fun opened(folder: String) = Bundle.open(Files { File(folder, it).readBytes() })

    private val folder by lazy { folders.first() }
    private val bundle by lazy { opened(folder) }

    // One thread: on a busy machine XNNPACK's threads wait for each other by the minute.
    private val one = Backend(Backend.Kind.CPU, 1)

    @Test
    fun `every model answers as it did in Python`() {
        val bundles = folders.map(::opened)
        val measured = bundles.flatMap { bundle -> bundle.models.map { it to measure(bundle, it, one, HostEngines, timing = timing) } }
        val hashes = bundles.flatMap { bundle -> bundle.models.map { it.path.substringAfterLast('/') to bundle.hashes.getValue(it.path) } }
        val environment = Environment("JVM host", null, System.getProperty("os.name"), "2.15.0", 2, "2026-01-01T00:00:00Z", hashes.toMap())
        File("target/results.json").writeText(resultsJson(measured.map { it.second }, environment).toString(2))
        for ((model, row) in measured) {
            assertEquals("ok", row.text("status"), row.error)
            // This build computes int8 without XNNPACK, whose kernels round otherwise; exact figures are compared in Python.
            val steps = if (model.quantization == "none") 1e-4f else if (model.task == Task.DETECTION) 0.05f else 8 * model.output.scale
            assertTrue(row.number("max_abs_err")!!.toFloat() <= steps, "${model.name} ${row.number("max_abs_err")}")
            val images = model.images.count
            model.hostTop1?.let { assertEquals(it, row.number("top1")!!.toDouble(), maxOf(1, images / 100) / images.toDouble() + 1e-9) }
            model.hostMap?.let { assertEquals(it, row.number("map")!!.toDouble(), 0.03, model.name) }
            model.hostMap50?.let { assertEquals(it, row.number("map50")!!.toDouble(), 0.03, model.name) }
            assertTrue(row.number("median_ms")!!.toDouble() > 0)
            assertTrue(row.number("num_runs")!!.toInt() >= 30)
        }
    }

    @Test
    fun `a detector's box stays with what it is around when the picture is turned`() {
        for (bundle in folders.map(::opened)) for (model in bundle.models.filter { it.task == Task.DETECTION }) {
            val (height, width) = model.images.height to model.images.width
            val pixels = bundle.read(model.images.path).copyOf(height * width * 3)
            fun rgb(x: Int, y: Int) = (0..2).fold(0) { sum, c -> (sum shl 8) or (pixels[3 * (y * width + x) + c].toInt() and 255) }
            val upright = ArgbFrame(width, height, IntArray(height * width) { rgb(it % width, it / width) })
            // As a sensor sees it that must be turned by 270 degrees.
            val lying = ArgbFrame(height, width, IntArray(height * width) { rgb(it / height, height - 1 - it % height) })
            HostEngines.open(model, bundle.buffer(model.path), one).use { engine ->
                val feed = Feed(engine, model.input)
                val here = boxes(feed.pixels(wholeOf(upright, 0, height, width), 0))
                assertTrue(here.size > 1 && here[0].score >= PRESENT, "${here.firstOrNull()}")
                assertEquals(here, boxes(feed.pixels(wholeOf(lying, 270, height, width), 0)))
                assertEquals(here, boxes(feed.pixels(pixels, 0)))
            }
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
