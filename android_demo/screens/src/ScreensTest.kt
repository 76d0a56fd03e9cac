// Every screen, drawn by Android's own code under Robolectric: both languages, both themes, large text, landscape.

package kerasmobilenets.demo

import android.app.Activity
import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.LinearGradient
import android.graphics.Paint
import android.graphics.Rect
import android.graphics.Shader
import android.os.Looper
import android.view.TextureView
import android.view.View
import android.view.View.MeasureSpec
import android.view.ViewGroup
import android.widget.ImageView
import android.widget.ScrollView
import android.widget.TextView
import java.io.File
import kerasmobilenets.core.ArgbFrame
import kerasmobilenets.core.Backend
import kerasmobilenets.core.Box
import kerasmobilenets.core.Bundle
import kerasmobilenets.core.BundleModel
import kerasmobilenets.core.Environment
import kerasmobilenets.core.Files
import kerasmobilenets.core.Job
import kerasmobilenets.core.LinuxDevice
import kerasmobilenets.core.Placement
import kerasmobilenets.core.PublishedLatency
import kerasmobilenets.core.Row
import kerasmobilenets.core.Said
import kerasmobilenets.core.Session
import kerasmobilenets.core.Soak
import kerasmobilenets.core.SoakWindow
import kerasmobilenets.core.Task
import kerasmobilenets.core.Worker
import kerasmobilenets.core.boxColor
import kerasmobilenets.core.familyName
import kerasmobilenets.core.said
import kerasmobilenets.core.shown
import kerasmobilenets.demo.charts.BarView
import kerasmobilenets.demo.charts.PublishedView
import kerasmobilenets.demo.charts.ScatterView
import kerasmobilenets.demo.charts.SoakView
import kerasmobilenets.demo.charts.writePicture
import kotlin.math.roundToInt
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode
import org.robolectric.shadows.ShadowBuild
import org.robolectric.shadows.ShadowPopupMenu

@RunWith(RobolectricTestRunner::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
@Config(sdk = [35], application = DemoApp::class)
class ScreensTest {
    private object Fake : Worker {
        private val ms = mapOf("standardconvnet" to 21.4, "mobilenetv1" to 6.31, "mobilenetv2" to 4.12, "mobilenetv3large" to 3.36)
        private val top1 = mapOf("standardconvnet" to 0.941, "mobilenetv1" to 0.935, "mobilenetv2" to 0.952, "mobilenetv3large" to 0.961)

        override fun run(job: Job, limitSeconds: Int): Row {
            val described = Row(Row.described(job.model, job.backend))
            val family = familyName(job.model)
            val isInt8 = job.model.quantization == "int8"
            val one = ms.getValue(family) / if (isInt8) 2.1 else 1.0
            val score = top1.getValue(family) - if (isInt8) 0.012 else 0.0
            return when {
                job.backend.kind == Backend.Kind.GPU && isInt8 -> Row.failed(job.model, job.backend, "the process that measured it crashed")
                job.backend.kind == Backend.Kind.GPU -> measured(described, 0.31 * one, score)
                job.backend.kind == Backend.Kind.NNAPI && !isInt8 -> measured(described, 3 * one, score).with("nodes_delegated" to 0, "partitions" to 0)
                job.backend.kind == Backend.Kind.NNAPI -> measured(described, 0.22 * one, score).with("nodes_delegated" to 61, "partitions" to 3)
                else -> measured(described, one / if (job.backend.threads == 1) 1.0 else 2.8, score)
            }
        }

        override fun soak(job: Job, minutes: Int, limitSeconds: Int, told: (Row) -> Unit): Row {
            val windows = List(6 * minutes) { i ->
                val slow = if (i < 20) 1.0 else 1.0 + 0.45 * (1 - Math.exp((20 - i) / 8.0))
                SoakWindow(10.0 * (i + 1), 4000, 2.25 * slow + 0.04 * Math.sin(1.7 * i), listOf("none", "light", "moderate", "severe")[minOf(3, i / 14)])
            }
            return run(job, limitSeconds).with("sustained" to Soak(minutes, windows, true, mahUsed = 31.0).toJson())
        }

        private fun measured(row: Row, ms: Double, top1: Double) = row.with(
            "median_ms" to ms, "p90_ms" to 1.17 * ms, "model_size_mb" to 0.98, "top1" to top1, "nodes_total" to 65,
            "nodes_delegated" to 65, "partitions" to 1, "thermal_start" to "none", "thermal_end" to "light",
        )

        override fun cancel() = Unit
    }

    /** The networks of the papers' comparison, with invented figures, as copies of the first model of a bundle. */
    private fun networks(model: BundleModel): List<BundleModel> {
        val published = listOf(PublishedLatency("Pixel 4", "TFLite CPU 4 threads, float32", 14.2, "an invented table"))
        val sizes = mapOf("StandardConvNet" to 28.08, "MobileNetV1" to 3.22, "MobileNetV2" to 2.24, "MobileNetV3Large" to 4.21)
        return sizes.flatMap { (builder, millions) ->
            listOf("none", "int8").map { quantization ->
                val ending = if (quantization == "none") "float32" else "int8"
                model.copy(
                    name = "${builder.lowercase()}_$ending", builder = builder, quantization = quantization, compression = null,
                    parameters = (millions * 1e6).toLong(), sizeBytes = (millions * if (quantization == "none") 4e6 else 1.05e6).toLong(),
                    published = if (builder == "MobileNetV2" && quantization == "none") published else emptyList(),
                )
            }
        }.filter { it.name != "standardconvnet_int8" }
    }

    private fun fill() {
        val app = RuntimeEnvironment.getApplication() as DemoApp
        ShadowBuild.setModel("Pixel 4")
        val folder = File(System.getProperty("bundle")!!)
        val files = Files { File(folder, it).readBytes() }
        val opened = Bundle.open(files)
        val bundle = Bundle(files, opened.name, networks(opened.models[0]), opened.hashes)
        val session = Session(bundle.models, Backend.STANDARD, Fake, LinuxDevice())
        val jobs = session.entries.map { it.job }
        session.run(jobs.dropLast(2))
        session.soak(jobs.first { it.model.name == "mobilenetv1_float32" && it.backend.threads == 4 }, 10)
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

    private fun <T : Activity> draw(
        screen: Class<T>, name: String, qualifiers: String, font: Float = 1f, to: Class<out View>? = null,
        then: (CameraActivity) -> Unit = ::answer,
    ) {
        RuntimeEnvironment.setQualifiers(qualifiers)
        RuntimeEnvironment.setFontScale(font)
        fill()
        Robolectric.buildActivity(screen).setup().use {
            (it.get() as? CameraActivity)?.let(then)
            to?.let { kind -> bring(it.get().window.decorView, kind) }
            shot(it.get(), name)
            touchable(it.get().window.decorView)
        }
    }

    /** Scrolls to the first view of a kind. */
    private fun bring(root: View, kind: Class<out View>) {
        val view = all(root).first(kind::isInstance)
        val scroll = generateSequence(view.parent) { it.parent }.first { it is ScrollView } as ScrollView
        val place = Rect().also { view.getDrawingRect(it) }
        scroll.offsetDescendantRectToMyCoords(view, place)
        scroll.scrollTo(0, place.top - scroll.height / 3)
    }

    private fun all(view: View): List<View> =
        listOf(view) + if (view is ViewGroup) (0 until view.childCount).flatMap { all(view.getChildAt(it)) } else emptyList()

    private fun answer(screen: CameraActivity) = say(screen, Answer(
        Task.CLASSIFICATION, listOf(Said(0, listOf(0.93f)), Said(1, listOf(0.04f)), Said(2, listOf(0.01f))), emptyList(),
        names, Sight(ArgbFrame(1, 1, IntArray(1))), frameMs = 5.21, modelMs = 0.84,
    ))

    private fun attributes(screen: CameraActivity) = say(screen, Answer(
        Task.ATTRIBUTES, said(Task.ATTRIBUTES, floatArrayOf(0.07f, 0.88f, 0.41f, 0.97f, 0.52f)), emptyList(),
        listOf("filled", "large", "two shapes", "red", "turned"), Sight(ArgbFrame(1, 1, IntArray(1))), frameMs = 5.21, modelMs = 0.84,
    ))

    private fun nothing(screen: CameraActivity) = say(screen, Answer(
        Task.DETECTION, emptyList(), emptyList(), names, Sight(ArgbFrame(1, 1, IntArray(1))), frameMs = 12.6, modelMs = 8.13,
    ))

    private val names = listOf("heart", "star", "ring", "a name that is longer than any screen is wide, as those of ImageNet are")

    /** Boxes on a picture of 320×240, which Android's own ImageView shows: the frames are where it puts their edges. */
    private fun boxes(screen: CameraActivity) {
        val found = listOf(
            Box(0.1f, 0.15f, 0.5f, 0.4f, 0, 0.97f), Box(0.35f, 0.3f, 0.9f, 0.75f, 1, 0.91f), Box(0f, 0.7f, 0.3f, 1f, 2, 0.88f),
            Box(0.68f, 0.02f, 0.95f, 0.22f, 0, 0.66f), Box(0.62f, 0.78f, 0.9f, 0.97f, 3, 0.53f),
        )
        val bitmap = scene(320, 240, found)
        val view = screen.findViewById<ImageView>(R.id.picture).apply { setImageBitmap(bitmap); visibility = View.VISIBLE }
        val answer = FloatArray(6 * 5 + 1).also { all ->
            found.forEachIndexed { i, box ->
                floatArrayOf(box.top, box.left, box.bottom, box.right).copyInto(all, 4 * i)
                all[20 + i] = box.label.toFloat()
                all[25 + i] = box.score
            }
            all[30] = 5f
        }
        val sight = Sight(ArgbFrame(320, 240, IntArray(320 * 240)))
        say(screen, Answer(Task.DETECTION, said(Task.DETECTION, answer), shown(answer), names, sight, frameMs = 12.6, modelMs = 8.13))
        val overlay = screen.findViewById<BoxesView>(R.id.boxes)
        val drawn = Bitmap.createBitmap(overlay.width, overlay.height, Bitmap.Config.ARGB_8888).also { overlay.draw(Canvas(it)) }
        for (box in found.take(2)) { // whose edges no other covers at these places
            val (wide, high) = view.drawable.intrinsicWidth to view.drawable.intrinsicHeight
            val corners = floatArrayOf(
                wide * box.left, high * (box.top + 0.7f * (box.bottom - box.top)), wide * (box.left + 0.9f * (box.right - box.left)), high * box.bottom,
            )
            view.imageMatrix.mapPoints(corners)
            assertEquals(boxColor(box.label), drawn.getPixel(corners[0].roundToInt(), corners[1].roundToInt()))
            assertEquals(boxColor(box.label), drawn.getPixel(corners[2].roundToInt(), corners[3].roundToInt()))
        }
    }

    /** A wall in changing light with a blot in each box. */
    private fun scene(width: Int, height: Int, boxes: List<Box>) = Bitmap.createBitmap(width, height, Bitmap.Config.ARGB_8888).also { bitmap ->
        val canvas = Canvas(bitmap)
        val paint = Paint(Paint.ANTI_ALIAS_FLAG)
        paint.shader = LinearGradient(0f, 0f, width.toFloat(), height.toFloat(), 0xFFE9E2D0.toInt(), 0xFF4A5A6A.toInt(), Shader.TileMode.CLAMP)
        canvas.drawPaint(paint)
        paint.shader = null
        for ((i, box) in boxes.withIndex()) {
            paint.color = listOf(0xFF9C3D54, 0xFF2F6FC4, 0xFFF2C14E, 0xFF0B7A5A, 0xFF333333)[i].toInt()
            canvas.drawOval(width * box.left + 4, height * box.top + 4, width * box.right - 4, height * box.bottom - 4, paint)
        }
    }

    /** The host has no TensorFlow Lite for Android: after the refusal an answer is put in by hand. */
    private fun say(screen: CameraActivity, answer: Answer) {
        Thread.sleep(500)
        shadowOf(Looper.getMainLooper()).idle()
        assertTrue("Failed to load" in screen.findViewById<TextView>(R.id.message).text)
        CameraActivity::class.java.getDeclaredMethod("show", Answer::class.java).apply { isAccessible = true }.invoke(screen, answer)
        screen.findViewById<TextView>(R.id.message).text = ""
        shadowOf(Looper.getMainLooper()).idle()
        screen.window.decorView.run {
            measure(MeasureSpec.makeMeasureSpec(width, MeasureSpec.EXACTLY), MeasureSpec.makeMeasureSpec(height, MeasureSpec.EXACTLY))
            layout(left, top, right, bottom)
        }
    }

    /** Whatever can be pressed is 48 dp high at least. */
    private fun touchable(view: View) {
        val least = 48 * view.resources.displayMetrics.density
        if (view.isClickable && view !is ViewGroup && view.height > 0) assertTrue("${view.height}", view.height >= least)
        if (view is ViewGroup) for (i in 0 until view.childCount) touchable(view.getChildAt(i))
    }

    @Test fun opening() = draw(TableActivity::class.java, "opening", "en-w411dp-h800dp-xhdpi")
    @Test fun openingInChinese() = draw(TableActivity::class.java, "opening-zh", "zh-w411dp-h800dp-xhdpi")
    @Test fun openingInTheDark() = draw(TableActivity::class.java, "opening-dark", "en-w411dp-h800dp-night-xhdpi")
    @Test fun openingInLargeText() = draw(TableActivity::class.java, "opening-large", "en-w411dp-h800dp-xhdpi", 2f)
    @Test fun openingInLandscape() = draw(TableActivity::class.java, "opening-landscape", "en-w800dp-h411dp-land-xhdpi")
    @Test fun openingOnATablet() = draw(TableActivity::class.java, "opening-tablet-zh-dark", "zh-w1280dp-h800dp-land-night-mdpi")
    @Test fun scatterInLargeText() = draw(TableActivity::class.java, "scatter-large", "en-w411dp-h800dp-xhdpi", 2f, ScatterView::class.java)
    @Test fun groups() = draw(TableActivity::class.java, "groups", "en-w411dp-h800dp-xhdpi", to = BarView::class.java)
    @Test fun groupsInLargeText() = draw(TableActivity::class.java, "groups-large-dark", "en-w411dp-h800dp-night-xhdpi", 2f, PublishedView::class.java)
    @Test fun soak() = draw(TableActivity::class.java, "soak", "en-w411dp-h800dp-xhdpi", to = SoakView::class.java)
    @Test fun soakInChineseAndDark() = draw(TableActivity::class.java, "soak-zh-dark", "zh-w411dp-h800dp-night-xhdpi", to = SoakView::class.java)

    @Test fun aTappedBarOffersOneRunAndSoaks() {
        fill()
        Robolectric.buildActivity(TableActivity::class.java).setup().use {
            all(it.get().window.decorView).first { view -> view is BarView }.performClick()
            val menu = ShadowPopupMenu.getLatestPopupMenu().menu
            assertEquals(listOf("Run", "Run for 1 min (sustained)", "Run for 10 min (sustained)", "Run for 30 min (sustained)"), List(menu.size()) { i -> menu.getItem(i).title })
        }
    }

    @Test fun aMissingBundleAndAFullDiskAreOneLineEach() {
        fun summary(): String = Robolectric.buildActivity(TableActivity::class.java).setup().use {
            Thread.sleep(500)
            shadowOf(Looper.getMainLooper()).idle()
            it.get().findViewById<TextView>(R.id.summary).text.toString()
        }
        assertEquals("The bundle cannot be used: there is no bundle: manifest.json is missing", summary())
        fill()
        val app = RuntimeEnvironment.getApplication() as DemoApp
        for ((name, value) in mapOf("failure" to null, "unwritten" to "ENOSPC (No space left on device)")) {
            Measuring::class.java.getDeclaredField(name).apply { isAccessible = true }.set(app.measuring, value)
        }
        assertEquals(
            "results.json could not be written here (ENOSPC (No space left on device)). Free some space; what was measured can still be shared.",
            summary(),
        )
    }

    @Test fun picture() {
        RuntimeEnvironment.setQualifiers("en-w411dp-h800dp-xhdpi")
        fill()
        val app = RuntimeEnvironment.getApplication() as DemoApp
        val where = Environment("Google Pixel 4", "Qualcomm SM8150", "Android 13 (API 33)", "2.16.1", 8, "2026-01-01T00:00:00Z", emptyMap())
        val file = File(System.getProperty("shots")!!, "picture.png").apply { parentFile!!.mkdirs() }
        file.outputStream().use { writePicture(app, app.measuring.session!!.entries, where, "Pixel 4", it) }
        assertTrue(file.length() > 50_000)
    }

    @Test fun camera() = draw(CameraActivity::class.java, "camera", "en-w411dp-h800dp-xhdpi")
    @Test fun cameraInChineseAndDark() = draw(CameraActivity::class.java, "camera-zh-dark", "zh-w411dp-h800dp-night-xhdpi")
    @Test fun cameraInLargeText() = draw(CameraActivity::class.java, "camera-large", "en-w411dp-h800dp-xhdpi", 2f)
    @Test fun cameraInLandscape() = draw(CameraActivity::class.java, "camera-landscape", "en-w800dp-h411dp-land-xhdpi")
    @Test fun cameraWithBoxes() = draw(CameraActivity::class.java, "camera-boxes", "en-w411dp-h800dp-xhdpi", then = ::boxes)
    @Test fun cameraWithBoxesInLargeTextAndDark() = draw(CameraActivity::class.java, "camera-boxes-large-dark", "en-w411dp-h800dp-night-xhdpi", 2f, then = ::boxes)
    @Test fun cameraWithBoxesInLandscape() = draw(CameraActivity::class.java, "camera-boxes-landscape-zh", "zh-w800dp-h411dp-land-xhdpi", then = ::boxes)
    @Test fun cameraWithAttributes() = draw(CameraActivity::class.java, "camera-attributes", "en-w411dp-h800dp-xhdpi", then = ::attributes)
    @Test fun cameraThatFindsNothing() = draw(CameraActivity::class.java, "camera-nothing-zh", "zh-w411dp-h800dp-xhdpi", then = ::nothing)

    /** However the screen is turned, a box lies over what the preview shows there. */
    @Test fun boxesFollowATurnedPreview() {
        for ((rotation, qualifiers) in listOf(0 to "w411dp-h800dp-port", 1 to "w800dp-h411dp-land", 2 to "w411dp-h800dp-port", 3 to "w800dp-h411dp-land")) {
            RuntimeEnvironment.setQualifiers("$qualifiers-xhdpi")
            fill()
            Robolectric.buildActivity(CameraActivity::class.java).setup().use {
                val screen = it.get()
                @Suppress("DEPRECATION") shadowOf(screen.windowManager.defaultDisplay).setRotation(rotation)
                val preview = screen.findViewById<TextureView>(R.id.preview)
                CameraActivity::class.java.getDeclaredMethod("fit", Int::class.java, Int::class.java).apply { isAccessible = true }.invoke(screen, 640, 480)
                // The view is given the sensor's picture upright as the phone is held by its maker, stretched over it.
                val natural = floatArrayOf(0.2f * preview.width, 0.1f * preview.height)
                preview.getTransform(null).mapPoints(natural)
                val (across, down) = listOf(0.2f to 0.1f, 0.1f to 0.8f, 0.8f to 0.9f, 0.9f to 0.2f)[rotation] // turned back by as much
                val (wide, high) = if (rotation % 2 == 0) 480 to 640 else 640 to 480
                val place = Placement(preview.width, preview.height, wide, high).of(Box(down, across, 1f, 1f, 0, 1f))
                assertEquals("$rotation", natural[0], place.left, 0.5f)
                assertEquals("$rotation", natural[1], place.top, 0.5f)
                val lower = floatArrayOf(0.2f * preview.width, 0.6f * preview.height) // and no other turn does
                preview.getTransform(null).mapPoints(lower)
                val shift = listOf(0f to 0.5f, 0.5f to 0f, 0f to -0.5f, -0.5f to 0f)[rotation]
                val moved = Placement(preview.width, preview.height, wide, high).of(Box(down + shift.second, across + shift.first, 1f, 1f, 0, 1f))
                assertEquals("$rotation", lower[0], moved.left, 0.5f)
                assertEquals("$rotation", lower[1], moved.top, 0.5f)
            }
        }
    }
}
