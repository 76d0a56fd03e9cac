// The camera screen's model: opened, run and closed on one thread, which GPU delegates insist on.

package kerasmobilenets.demo

import android.os.Handler
import android.os.HandlerThread
import java.util.concurrent.atomic.AtomicBoolean
import kerasmobilenets.core.Backend
import kerasmobilenets.core.Bundle
import kerasmobilenets.core.BundleModel
import kerasmobilenets.core.Engine
import kerasmobilenets.core.Feed
import kerasmobilenets.core.Frame
import kerasmobilenets.core.best
import kerasmobilenets.core.oneLine
import kerasmobilenets.core.squareOf

/** What a model says of a picture. */
class Answer(val best: List<Pair<String, Float>>, val frameMs: Double, val modelMs: Double)

class Classifier(
    private val app: DemoApp,
    private val bundle: Bundle,
    private val answered: (Answer) -> Unit,
    private val refused: (String) -> Unit,
) {
    private val thread = HandlerThread("classifier").apply { start() }
    private val handler = Handler(thread.looper)
    private val busy = AtomicBoolean()
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
            opened()
        } catch (error: Exception) {
            refused(oneLine(error.message))
        } catch (error: LinkageError) { // a processor that the APK has no libraries for
            refused(oneLine(error.message))
        }
    }

    /** Classifies a picture, unless one is being classified. */
    fun classify(frame: Frame, degrees: Int) {
        if (!busy.compareAndSet(false, true)) return
        val arrived = System.nanoTime()
        handler.post {
            try {
                run(frame, degrees, arrived)
            } catch (error: Exception) {
                refused(oneLine(error.message))
            } finally {
                busy.set(false)
            }
        }
    }

    fun close() {
        handler.post { shut() }
        thread.quitSafely()
    }

    private fun run(frame: Frame, degrees: Int, arrived: Long) {
        val (engine, feed) = (engine ?: return) to (feed ?: return)
        val pixels = squareOf(frame, degrees, engine.input.shape[1])
        val before = System.nanoTime()
        val scores = feed.pixels(pixels, 0)
        val ended = System.nanoTime()
        val top = best(scores, 3).map { (labels.getOrNull(it) ?: "$it") to scores[it] }
        answered(Answer(top, (ended - arrived) / 1e6, (ended - before) / 1e6))
    }

    private fun shut() {
        engine?.close()
        engine = null
        feed = null
    }
}
