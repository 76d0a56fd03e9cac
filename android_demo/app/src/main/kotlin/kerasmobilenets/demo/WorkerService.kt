// The other process: measures one row, answers, and is ended by the app.

package kerasmobilenets.demo

import android.app.Service
import android.content.Intent
import android.os.Bundle
import android.os.Handler
import android.os.IBinder
import android.os.Looper
import android.os.Message
import android.os.Messenger
import android.os.Process
import kerasmobilenets.core.Backend
import kerasmobilenets.core.Row
import kerasmobilenets.core.Timing
import kerasmobilenets.core.acceleratorsIn
import kerasmobilenets.core.measure
import kerasmobilenets.core.oneLine
import kotlin.concurrent.thread

class WorkerService : Service() {
    private val messenger = Messenger(Handler(Looper.getMainLooper()) { message -> receive(Message.obtain(message)) })

    override fun onBind(intent: Intent): IBinder = messenger.binder

    private fun receive(message: Message): Boolean {
        val app = application as DemoApp
        val asked = message.data
        val client = message.replyTo
        client.send(reply(STARTED) { putInt(PID, Process.myPid()) })
        thread(name = "measurement") {
            val answer = try {
                if (message.what == MEASURE) rowOf(app, asked, client) else acceleratorsOf(app, asked)
            } catch (error: Throwable) { // Cancelled cannot come: the app ends this process instead
                reply(REFUSED) { putString(TEXT, oneLine(error.message ?: error.javaClass.simpleName)) }
            }
            client.send(answer)
        }
        return true
    }

    private fun rowOf(app: DemoApp, asked: Bundle, client: Messenger): Message {
        val bundle = app.openBundle(asked.getString(FOLDER))
        val model = bundle.model(asked.getString(MODEL)!!)
        val backend = Backend.of(asked.getString(BACKEND)!!)
        val timing = Timing(minRuns = asked.getInt(RUNS))
        nnapiCache(app).listFiles()?.forEach { it.delete() }
        val engines = TfliteEngines(app, bundle.hashes)
        val row = measure(bundle, model, backend, engines, Phone(app), timing, asked.getInt(MINUTES), told = { client.send(reply(ROW_SO_FAR, it)) })
        return reply(ROW, row)
    }

    private fun reply(what: Int, row: Row) = reply(what) { putString(TEXT, row.toJson().toString()) }

    /** NNAPI names its accelerators when it is asked for one that does not exist. */
    private fun acceleratorsOf(app: DemoApp, asked: Bundle): Message {
        val bundle = app.openBundle(asked.getString(FOLDER))
        val model = bundle.model(asked.getString(MODEL)!!)
        val refusal = try {
            TfliteEngines(app, bundle.hashes)
                .open(model, bundle.buffer(model.path), Backend.of("nnapi:none-such")).close()
            ""
        } catch (error: IllegalStateException) {
            error.message.orEmpty()
        }
        return reply(NAMES) { putStringArrayList(TEXT, ArrayList(acceleratorsIn(refusal))) }
    }

    private fun reply(what: Int, fill: Bundle.() -> Unit): Message =
        Message.obtain(null, what).apply { data = Bundle().apply(fill) }

    companion object {
        const val MEASURE = 1
        const val ACCELERATORS = 2

        const val STARTED = 11
        const val ROW = 12
        const val NAMES = 13
        const val REFUSED = 14
        const val ROW_SO_FAR = 15

        const val MODEL = "model"
        const val BACKEND = "backend"
        const val FOLDER = "folder"
        const val RUNS = "runs"
        const val MINUTES = "minutes"
        const val PID = "pid"
        const val TEXT = "text"
    }
}
