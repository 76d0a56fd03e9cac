// What a model sees live, or in a picture: classes, labels or boxes, milliseconds, a choice of model and backend.

package kerasmobilenets.demo

import android.Manifest
import android.app.Activity
import android.content.Intent
import android.content.pm.PackageManager
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.ImageDecoder
import android.graphics.Matrix
import android.graphics.RectF
import android.graphics.SurfaceTexture
import android.net.Uri
import android.os.Build
import android.os.Bundle
import android.view.Surface
import android.view.TextureView
import android.view.View
import android.widget.AdapterView
import android.widget.ArrayAdapter
import android.widget.Button
import android.widget.ImageView
import android.widget.Spinner
import android.widget.TextView
import android.widget.Toolbar
import kerasmobilenets.core.ArgbFrame
import kerasmobilenets.core.Backend
import kerasmobilenets.core.milliseconds
import kerasmobilenets.core.oneLine
import kerasmobilenets.core.turn

class CameraActivity : Activity() {
    private val app get() = application as DemoApp
    private val bundle by lazy { app.measuring.bundle ?: app.openBundle(null) }
    private val models by lazy { bundle.models }
    private val backends by lazy {
        app.measuring.session?.entries?.map { it.job.backend }?.distinct() ?: Backend.STANDARD
    }
    private val preview by lazy { findViewById<TextureView>(R.id.preview) }
    private var classifier: Classifier? = null
    private var feed: CameraFeed? = null
    private val boxes by lazy { findViewById<BoxesView>(R.id.boxes) }
    private var picture: Sight? = null
    private var usable = false
    private var chosen: Pair<String, Backend>? = null

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        setContentView(R.layout.camera)
        setActionBar(findViewById<Toolbar>(R.id.toolbar))
        actionBar?.setDisplayHomeAsUpEnabled(true)
        findViewById<Button>(R.id.open_picture).setOnClickListener { choosePicture() }
        findViewById<Button>(R.id.go_live).setOnClickListener { askForCamera() }
        try {
            choices(R.id.models, models.map { it.name })
            choices(R.id.backends, backends.map { resources.backendName(it) })
            usable = true
        } catch (error: kerasmobilenets.core.BundleError) {
            return say(getString(R.string.bundle_failed, error.message))
        }
        preview.surfaceTextureListener = surfaceListener
        if (state == null) askForCamera()
    }

    override fun onStart() {
        super.onStart()
        if (!usable) return
        val answered = { answer: Answer -> runOnUiThread { show(answer) } }
        classifier = Classifier(app, bundle, answered) { reason -> tell(R.string.model_failed, reason) }
        openModel()
        openCamera()
    }

    override fun onStop() {
        closeCamera()
        classifier?.close()
        classifier = null
        chosen = null
        super.onStop()
    }

    private fun choices(id: Int, names: List<String>) {
        val spinner = findViewById<Spinner>(id)
        spinner.adapter = ArrayAdapter(this, android.R.layout.simple_spinner_item, names)
            .apply { setDropDownViewResource(android.R.layout.simple_spinner_dropdown_item) }
        spinner.onItemSelectedListener = object : AdapterView.OnItemSelectedListener {
            override fun onItemSelected(parent: AdapterView<*>, view: View?, position: Int, id: Long) = openModel()
            override fun onNothingSelected(parent: AdapterView<*>) = Unit
        }
    }

    private fun openModel() {
        val model = models.getOrNull(findViewById<Spinner>(R.id.models).selectedItemPosition) ?: return
        val backend = backends.getOrNull(findViewById<Spinner>(R.id.backends).selectedItemPosition) ?: return
        if (chosen == model.name to backend) return
        chosen = model.name to backend
        say(getString(R.string.opening))
        boxes.clear()
        classifier?.open(model, backend) {
            runOnUiThread { say("") }
            picture?.let { classifier?.look(it) }
        }
    }

    private fun show(answer: Answer) {
        if ((picture ?: answer.sight) != answer.sight) return // a frame of before the picture was chosen
        boxes.show(answer.boxes, answer.names, answer.sight.width, answer.sight.height, answer.sight.isMirrored)
        findViewById<TextView>(R.id.answers).text = resources.answerWords(answer)
        findViewById<TextView>(R.id.latency).text =
            getString(R.string.per_frame, milliseconds(answer.frameMs), milliseconds(answer.modelMs))
    }

    // The camera.

    private val hasPermission
        get() = checkSelfPermission(Manifest.permission.CAMERA) == PackageManager.PERMISSION_GRANTED

    private fun askForCamera() {
        picture = null
        boxes.clear()
        findViewById<View>(R.id.picture).visibility = View.GONE
        if (hasPermission) openCamera() else requestPermissions(arrayOf(Manifest.permission.CAMERA), CAMERA)
    }

    override fun onRequestPermissionsResult(request: Int, names: Array<String>, results: IntArray) {
        if (hasPermission) openCamera() else say(getString(R.string.camera_refused))
    }

    private fun openCamera() {
        if (feed != null || picture != null || !hasPermission || !preview.isAvailable) return
        val opened = CameraFeed(
            this,
            { frame, degrees, isFront ->
                classifier?.see(Sight(frame, turn(degrees, screenDegrees(), isFront), isMirrored = isFront))
            },
            { tell(R.string.no_camera, it) },
        )
        feed = opened
        fit(opened.size.width, opened.size.height)
        opened.open(preview.surfaceTexture!!)
    }

    private fun closeCamera() {
        feed?.close()
        feed = null
    }

    @Suppress("DEPRECATION") // Context.display is newer than the oldest Android that this runs on
    private fun screenDegrees() = when (windowManager.defaultDisplay.rotation) {
        Surface.ROTATION_90 -> 90
        Surface.ROTATION_180 -> 180
        Surface.ROTATION_270 -> 270
        else -> 0
    }

    /** Undoes the view's stretching of the preview, and turns it with the screen. */
    private fun fit(width: Int, height: Int) {
        val view = RectF(0f, 0f, preview.width.toFloat(), preview.height.toFloat())
        val upright = screenDegrees() % 180 == 0
        val turned = RectF(0f, 0f, height.toFloat(), width.toFloat())
        val buffer = if (upright) turned else RectF(0f, 0f, width.toFloat(), height.toFloat())
        val scale = minOf(view.width() / buffer.width(), view.height() / buffer.height())
        val matrix = Matrix()
        matrix.setScale(
            scale * buffer.width() / view.width(),
            scale * buffer.height() / view.height(),
            view.centerX(),
            view.centerY(),
        )
        if (screenDegrees() == 180) matrix.postRotate(180f, view.centerX(), view.centerY())
        if (!upright) {
            turned.offset(view.centerX() - turned.centerX(), view.centerY() - turned.centerY())
            matrix.setRectToRect(view, turned, Matrix.ScaleToFit.FILL)
            matrix.postScale(scale, scale, view.centerX(), view.centerY())
            matrix.postRotate(screenDegrees() - 180f, view.centerX(), view.centerY())
        }
        preview.setTransform(matrix)
    }

    private val surfaceListener = object : TextureView.SurfaceTextureListener {
        override fun onSurfaceTextureAvailable(texture: SurfaceTexture, width: Int, height: Int) = openCamera()
        override fun onSurfaceTextureSizeChanged(texture: SurfaceTexture, width: Int, height: Int) {
            feed?.let { fit(it.size.width, it.size.height) }
        }
        override fun onSurfaceTextureDestroyed(texture: SurfaceTexture): Boolean {
            closeCamera()
            return true
        }
        override fun onSurfaceTextureUpdated(texture: SurfaceTexture) = Unit
    }

    // A picture.

    private fun choosePicture() {
        val pick = Intent(Intent.ACTION_GET_CONTENT).addCategory(Intent.CATEGORY_OPENABLE).setType("image/*")
        try {
            startActivityForResult(pick, PICTURE)
        } catch (error: android.content.ActivityNotFoundException) {
            say(getString(R.string.picture_failed))
        }
    }

    override fun onActivityResult(request: Int, result: Int, data: Intent?) {
        val place = data?.data ?: return
        if (request != PICTURE || result != RESULT_OK) return
        try {
            val bitmap = decode(place)
            closeCamera()
            findViewById<ImageView>(R.id.picture).apply { setImageBitmap(bitmap); visibility = View.VISIBLE }
            val pixels = IntArray(bitmap.width * bitmap.height)
            bitmap.getPixels(pixels, 0, bitmap.width, 0, 0, bitmap.width, bitmap.height)
            boxes.clear()
            picture = Sight(ArgbFrame(bitmap.width, bitmap.height, pixels)).also { classifier?.look(it) }
        } catch (error: Exception) { // decoders throw what they like
            say(getString(R.string.picture_failed))
        }
    }

    /** At most 1024 pixels wide and high; upright where the system knows how. */
    private fun decode(place: Uri): Bitmap {
        if (Build.VERSION.SDK_INT < 28) {
            val options = BitmapFactory.Options().apply { inSampleSize = 2 }
            return contentResolver.openInputStream(place).use { BitmapFactory.decodeStream(it, null, options)!! }
        }
        return ImageDecoder.decodeBitmap(ImageDecoder.createSource(contentResolver, place)) { decoder, info, _ ->
            decoder.allocator = ImageDecoder.ALLOCATOR_SOFTWARE
            val side = maxOf(info.size.width, info.size.height)
            if (side > 1024) decoder.setTargetSize(info.size.width * 1024 / side, info.size.height * 1024 / side)
        }
    }

    private fun tell(text: Int, reason: String) = runOnUiThread { say(getString(text, oneLine(reason))) }

    private fun say(text: String) {
        findViewById<TextView>(R.id.message).text = text
    }

    private companion object {
        const val CAMERA = 1
        const val PICTURE = 2
    }
}
