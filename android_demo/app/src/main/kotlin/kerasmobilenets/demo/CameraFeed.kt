// The back camera through camera2: a preview, and the newest frame whenever the receiver is ready for one.

package kerasmobilenets.demo

import android.annotation.SuppressLint
import android.content.Context
import android.graphics.ImageFormat
import android.graphics.SurfaceTexture
import android.hardware.camera2.CameraAccessException
import android.hardware.camera2.CameraCaptureSession
import android.hardware.camera2.CameraCharacteristics
import android.hardware.camera2.CameraDevice
import android.hardware.camera2.CameraManager
import android.hardware.camera2.CaptureRequest
import android.media.Image
import android.media.ImageReader
import android.os.Handler
import android.os.HandlerThread
import android.util.Size
import android.view.Surface
import kerasmobilenets.core.Frame
import kerasmobilenets.core.Plane
import kerasmobilenets.core.YuvFrame

/**
 * @param receive Called on the feed's thread with a frame, how the sensor lies and whether it looks at the user, whose
 *     preview the system shows in a mirror; frames that arrive meanwhile are dropped.
 * @param failed Called with a reason when no camera can be opened or the camera is lost.
 */
class CameraFeed(
    context: Context,
    private val receive: (Frame, sensorDegrees: Int, isFront: Boolean) -> Unit,
    private val failed: (String) -> Unit,
) {
    private val manager = context.getSystemService(CameraManager::class.java)
    private val thread = HandlerThread("camera").apply { start() }
    private val handler = Handler(thread.looper)
    private var camera: CameraDevice? = null
    private var reader: ImageReader? = null
    private var isFront = false
    private var closed = false

    /** The size of the preview, width × height as the sensor lies. */
    val size = Size(640, 480)

    /** Opens the camera; the permission must have been given. */
    @SuppressLint("MissingPermission")
    fun open(texture: SurfaceTexture) = handler.post {
        try {
            val id = backCamera() ?: return@post failed("none")
            val degrees = manager.getCameraCharacteristics(id).get(CameraCharacteristics.SENSOR_ORIENTATION) ?: 0
            isFront = facing(id) == CameraCharacteristics.LENS_FACING_FRONT
            texture.setDefaultBufferSize(size.width, size.height)
            manager.openCamera(id, opened(Surface(texture), degrees), handler)
        } catch (error: CameraAccessException) {
            failed(error.message.orEmpty())
        } catch (error: IllegalArgumentException) {
            failed(error.message.orEmpty())
        }
    }

    fun close() {
        handler.post {
            closed = true
            camera?.close()
            reader?.close()
            thread.quitSafely()
        }
    }

    private fun backCamera(): String? {
        val ids = manager.cameraIdList
        return ids.firstOrNull { facing(it) == CameraCharacteristics.LENS_FACING_BACK } ?: ids.firstOrNull()
    }

    private fun facing(id: String) = manager.getCameraCharacteristics(id).get(CameraCharacteristics.LENS_FACING)

    private fun opened(preview: Surface, degrees: Int) = object : CameraDevice.StateCallback() {
        override fun onOpened(device: CameraDevice) {
            if (closed) return device.close()
            camera = device
            val frames = ImageReader.newInstance(size.width, size.height, ImageFormat.YUV_420_888, 2)
            frames.setOnImageAvailableListener({ deliver(it, degrees) }, handler)
            reader = frames
            start(device, listOf(preview, frames.surface))
        }

        override fun onDisconnected(device: CameraDevice) = device.close()

        override fun onError(device: CameraDevice, error: Int) {
            device.close()
            failed("camera error $error")
        }
    }

    @Suppress("DEPRECATION") // SessionConfiguration is newer than the oldest Android that this runs on
    private fun start(device: CameraDevice, targets: List<Surface>) = try {
        device.createCaptureSession(targets, object : CameraCaptureSession.StateCallback() {
            override fun onConfigured(session: CameraCaptureSession) {
                if (closed) return
                val request = device.createCaptureRequest(CameraDevice.TEMPLATE_PREVIEW)
                targets.forEach(request::addTarget)
                request.set(CaptureRequest.CONTROL_AF_MODE, CaptureRequest.CONTROL_AF_MODE_CONTINUOUS_PICTURE)
                session.setRepeatingRequest(request.build(), null, handler)
            }

            override fun onConfigureFailed(session: CameraCaptureSession) = failed("the camera refuses the preview")
        }, handler)
    } catch (error: CameraAccessException) {
        failed(error.message.orEmpty())
    }

    private fun deliver(frames: ImageReader, degrees: Int) {
        val image = frames.acquireLatestImage() ?: return
        val frame = image.use(::frameOf)
        receive(frame, degrees, isFront)
    }

    private fun frameOf(image: Image): Frame {
        val (y, u, v) = image.planes.map { plane ->
            val bytes = ByteArray(plane.buffer.remaining())
            plane.buffer.get(bytes)
            Plane(bytes, plane.rowStride, plane.pixelStride)
        }
        return YuvFrame(image.width, image.height, y, u, v)
    }
}
