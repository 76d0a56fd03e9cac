// The camera screen's model: opened, run and closed on one thread, which GPU delegates insist on.

package kerasmobilenets.demo

import android.os.Handler
import android.os.HandlerThread
import java.util.concurrent.atomic.AtomicBoolean
import kerasmobilenets.core.Backend
import kerasmobilenets.core.Box
import kerasmobilenets.core.Bundle
import kerasmobilenets.core.BundleModel
import kerasmobilenets.core.Engine
import kerasmobilenets.core.Feed
import kerasmobilenets.core.Frame
import kerasmobilenets.core.Said
import kerasmobilenets.core.Task
import kerasmobilenets.core.oneLine
import kerasmobilenets.core.said
import kerasmobilenets.core.shown
import kerasmobilenets.core.squareOf
import kerasmobilenets.core.wholeOf

/** A picture to be looked at, how far it must be turned clockwise, and whether the screen shows it in a mirror. */
class Sight(val frame: Frame, val degrees: Int = 0, val isMirrored: Boolean = false) {
    val width get() = if (degrees % 180 == 0) frame.width else frame.height
    val height get() = if (degrees % 180 == 0) frame.height else frame.width
}

/** What a model says of a picture: classes in words, and boxes that are to be drawn on it. */
class Answer(
    val task: Task,
    val said: List<Said>,
    val boxes: List<Box>,
    val names: List<String>,
    val sight: Sight,
    val frameMs: Double,
    val modelMs: Double,
)

class Classifier(
    private val app: DemoApp,
    private val bundle: Bundle,
    private val answered: (Answer) -> Unit,
    private val refused: (String) -> Unit,
) {
    private val thread = HandlerThread("classifier").apply { start() }
    private val handler = Handler(thread.looper)
    private val busy = AtomicBoolean()
    private var model: BundleModel? = null
    private var engine: Engine? = null
    private var feed: Feed? = null
    private var labels = emptyList<String>()

    /** Opens a model; frames that come before it is open find nobody. */
    fun open(model: BundleModel, backend: Backend, opened: () -> Unit) = handler.post {
        shut()
        try {
            labels = bundle.labels(model)
            engine = TfliteEngines(app, bundle.hashes).open(model, bundle.buffer(model.path), backend)
            feed = Feed(engine!!, model.input)
            this.model = model
            opened()
        } catch (error: Exception) {
            refused(oneLine(error.message))
        } catch (error: LinkageError) { // a processor that the APK has no libraries for
            refused(oneLine(error.message))
        }
    }

    /** Looks at a frame of the camera, unless it is looking at one. */
    fun see(sight: Sight) {
        if (busy.compareAndSet(false, true)) post(sight) { busy.set(false) }
    }

    /** Looks at a picture, behind the frame that it may be looking at. */
    fun look(sight: Sight) = post(sight) {}

    private fun post(sight: Sight, done: () -> Unit) {
        val arrived = System.nanoTime()
        handler.post {
            try {
                run(sight, arrived)
            } catch (error: Exception) {
                refused(oneLine(error.message))
            } finally {
                done()
            }
        }
    }

    fun close() {
        handler.post { shut() }
        thread.quitSafely()
    }

    private fun run(sight: Sight, arrived: Long) {
        val (model, feed) = (model ?: return) to (feed ?: return)
        val (height, width) = model.input.shape[1] to model.input.shape[2]
        val boxes = model.task == Task.DETECTION
        val pixels = if (boxes) wholeOf(sight.frame, sight.degrees, height, width) else squareOf(sight.frame, sight.degrees, height)
        val before = System.nanoTime()
        val answer = feed.pixels(pixels, 0)
        val ended = System.nanoTime()
        val found = if (boxes) shown(answer) else emptyList()
        val (frameMs, modelMs) = (ended - arrived) / 1e6 to (ended - before) / 1e6
        answered(Answer(model.task, said(model.task, answer), found, labels, sight, frameMs, modelMs))
    }

    private fun shut() {
        engine?.close()
        engine = null
        feed = null
        model = null
    }
}
