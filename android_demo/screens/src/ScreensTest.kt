// Every screen, drawn by Android's own code under Robolectric: both languages, both themes, large text, landscape.

package kerasmobilenets.demo

import android.app.Activity
import android.graphics.Bitmap
import android.graphics.Canvas
import android.os.Looper
import android.view.View
import android.view.ViewGroup
import android.widget.Button
import android.widget.TextView
import java.io.File
import kerasmobilenets.core.Backend
import kerasmobilenets.core.Bundle
import kerasmobilenets.core.Files
import kerasmobilenets.core.Job
import kerasmobilenets.core.LinuxDevice
import kerasmobilenets.core.Row
import kerasmobilenets.core.Session
import kerasmobilenets.core.Worker
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode

@RunWith(RobolectricTestRunner::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
@Config(sdk = [35], application = DemoApp::class)
class ScreensTest {
    private object Fake : Worker {
        override fun run(job: Job, limitSeconds: Int): Row {
            val described = Row(Row.described(job.model, job.backend))
            return when {
                job.backend.kind == Backend.Kind.GPU -> Row.failed(job.model, job.backend, "the process that measured it crashed")
                job.backend.kind == Backend.Kind.NNAPI && job.model.quantization != "int8" ->
                    measured(described, 3.21).with("nodes_delegated" to 0, "partitions" to 0)
                else -> measured(described, 0.5 * job.backend.threads + 0.31)
            }
        }

        private fun measured(row: Row, ms: Double) = row.with(
            "median_ms" to ms, "p90_ms" to 1.2 * ms, "model_size_mb" to 0.98, "top1" to 0.955,
            "nodes_delegated" to 65, "partitions" to 1, "thermal_start" to "none", "thermal_end" to "light",
        )

        override fun cancel() = Unit
    }

    private fun fill() {
        val app = RuntimeEnvironment.getApplication() as DemoApp
        val folder = File(System.getProperty("bundle")!!)
        val bundle = Bundle.open(Files { File(folder, it).readBytes() })
        val session = Session(bundle.models, Backend.STANDARD, Fake, LinuxDevice())
        session.run(session.entries.map { it.job }.dropLast(6))
        for ((name, value) in mapOf("bundle" to bundle, "session" to session)) {
            Measuring::class.java.getDeclaredField(name).apply { isAccessible = true }.set(app.measuring, value)
        }
    }

    private fun shot(activity: Activity, name: String) {
        val view = activity.window.decorView
        val bitmap = Bitmap.createBitmap(view.width, view.height, Bitmap.Config.ARGB_8888)
        view.draw(Canvas(bitmap))
        val file = File(System.getProperty("shots")!!, "$name.png").apply { parentFile!!.mkdirs() }
        file.outputStream().use { bitmap.compress(Bitmap.CompressFormat.PNG, 100, it) }
        assertTrue(file.length() > 5000)
    }

    private fun <T : Activity> draw(screen: Class<T>, name: String, qualifiers: String, font: Float = 1f) {
        RuntimeEnvironment.setQualifiers(qualifiers)
        RuntimeEnvironment.setFontScale(font)
        fill()
        Robolectric.buildActivity(screen).setup().use {
            (it.get() as? CameraActivity)?.let(::answer)
            shot(it.get(), name)
            touchable(it.get().window.decorView)
        }
    }

    /** The host has no TensorFlow Lite for Android: after the refusal an answer is put in by hand. */
    private fun answer(screen: CameraActivity) {
        Thread.sleep(500)
        shadowOf(Looper.getMainLooper()).idle()
        assertTrue("Failed to load" in screen.findViewById<TextView>(R.id.message).text)
        val best = listOf("heart" to 0.93f, "star" to 0.04f, "ring" to 0.01f)
        CameraActivity::class.java.getDeclaredMethod("show", Answer::class.java).apply { isAccessible = true }
            .invoke(screen, Answer(best, frameMs = 5.21, modelMs = 0.84))
        screen.findViewById<TextView>(R.id.message).text = ""
        shadowOf(Looper.getMainLooper()).idle()
    }

    /** Whatever can be pressed is 48 dp high at least. */
    private fun touchable(view: View) {
        val least = 48 * view.resources.displayMetrics.density
        if (view is Button) assertTrue("${view.height}", view.height >= least)
        if (view is ViewGroup) for (i in 0 until view.childCount) touchable(view.getChildAt(i))
    }

    @Test fun table() = draw(TableActivity::class.java, "table", "en-w411dp-h800dp-xhdpi")
    @Test fun tableInChinese() = draw(TableActivity::class.java, "table-zh", "zh-w411dp-h800dp-xhdpi")
    @Test fun tableInTheDark() = draw(TableActivity::class.java, "table-dark", "en-w411dp-h800dp-night-xhdpi")
    @Test fun tableInLargeText() = draw(TableActivity::class.java, "table-large", "en-w411dp-h800dp-xhdpi", 2f)
    @Test fun tableInLandscape() = draw(TableActivity::class.java, "table-landscape", "en-w800dp-h411dp-land-xhdpi")
    @Test fun tableOnATablet() = draw(TableActivity::class.java, "table-tablet-zh-dark", "zh-w1280dp-h800dp-land-night-mdpi")

    @Test fun camera() = draw(CameraActivity::class.java, "camera", "en-w411dp-h800dp-xhdpi")
    @Test fun cameraInChineseAndDark() = draw(CameraActivity::class.java, "camera-zh-dark", "zh-w411dp-h800dp-night-xhdpi")
    @Test fun cameraInLargeText() = draw(CameraActivity::class.java, "camera-large", "en-w411dp-h800dp-xhdpi", 2f)
    @Test fun cameraInLandscape() = draw(CameraActivity::class.java, "camera-landscape", "en-w800dp-h411dp-land-xhdpi")
}
