// The app's side of WorkerService: one fresh process for each request, ended after the answer or at the time limit.

package kerasmobilenets.demo

import android.content.ComponentName
import android.content.Context
import android.content.Intent
import android.content.ServiceConnection
import android.os.Bundle
import android.os.Handler
import android.os.IBinder
import android.os.Looper
import android.os.Message
import android.os.Messenger
import android.os.Process
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.TimeUnit
import kerasmobilenets.core.BundleModel
import kerasmobilenets.core.Cancelled
import kerasmobilenets.core.Job
import kerasmobilenets.core.Row
import kerasmobilenets.core.Timing
import kerasmobilenets.core.Worker
import org.json.JSONObject

class RemoteWorker(private val context: Context) : Worker {
    @Volatile private var current: Request? = null

    /** The bundle, as `DemoApp.openBundle` takes it. */
    @Volatile var folder: String? = null
    @Volatile var timing = Timing()

    override fun run(job: Job, limitSeconds: Int): Row = soak(job, 0, limitSeconds) {}

    override fun soak(job: Job, minutes: Int, limitSeconds: Int, told: (Row) -> Unit): Row {
        val asked = Bundle()
        asked.putString(WorkerService.MODEL, job.model.name)
        asked.putString(WorkerService.BACKEND, job.backend.id)
        asked.putInt(WorkerService.RUNS, timing.minRuns)
        asked.putInt(WorkerService.MINUTES, minutes)
        return when (val event = ask(WorkerService.MEASURE, asked, limitSeconds) { told(rowOf(it)) }) {
            is Event.Answer ->
                if (event.what == WorkerService.ROW) rowOf(event)
                else Row.failed(job.model, job.backend, event.data.getString(WorkerService.TEXT)!!)
            Event.Died -> Row.failed(job.model, job.backend, "the process that measured it crashed")
            Event.Cancelled -> throw Cancelled()
            null -> Row.failed(job.model, job.backend, "stopped: it took longer than $limitSeconds seconds")
        }
    }

    private fun rowOf(answer: Event.Answer) = Row.of(JSONObject(answer.data.getString(WorkerService.TEXT)!!))

    /** Names for `Backend.accelerator`, without NNAPI's own CPU. */
    fun accelerators(any: BundleModel, limitSeconds: Int = 30): List<String> {
        val asked = Bundle()
        asked.putString(WorkerService.MODEL, any.name)
        val event = ask(WorkerService.ACCELERATORS, asked, limitSeconds) as? Event.Answer ?: return emptyList()
        return event.data.getStringArrayList(WorkerService.TEXT).orEmpty().filter { it != "nnapi-reference" }
    }

    override fun cancel() {
        current?.events?.put(Event.Cancelled)
    }

    /** Blocks until the last answer, the death of the process, or the limit (null). Not for the main thread. */
    private fun ask(what: Int, asked: Bundle, limitSeconds: Int, soFar: (Event.Answer) -> Unit = {}): Event? {
        asked.putString(WorkerService.FOLDER, folder)
        val request = Request(what, asked)
        current = request
        if (!context.bindService(Intent(context, WorkerService::class.java), request, Context.BIND_AUTO_CREATE)) {
            return Event.Died
        }
        try {
            val end = System.nanoTime() + TimeUnit.SECONDS.toNanos(limitSeconds.toLong())
            while (true) {
                val event = request.events.poll(end - System.nanoTime(), TimeUnit.NANOSECONDS)
                if (event is Event.Answer && event.what == WorkerService.ROW_SO_FAR) soFar(event) else return event
            }
        } finally {
            current = null
            context.unbindService(request)
            request.end()
        }
    }

    private sealed interface Event {
        class Answer(val what: Int, val data: Bundle) : Event
        object Died : Event
        object Cancelled : Event
    }

    private class Request(private val what: Int, private val asked: Bundle) : ServiceConnection {
        val events = LinkedBlockingQueue<Event>()
        private val death = LinkedBlockingQueue<Unit>()
        @Volatile private var process = 0

        private val receiver = Messenger(Handler(Looper.getMainLooper()) { message ->
            if (message.what == WorkerService.STARTED) process = message.data.getInt(WorkerService.PID)
            else events.put(Event.Answer(message.what, Bundle(message.data)))
            true
        })

        override fun onServiceConnected(name: ComponentName, binder: IBinder) {
            try {
                binder.linkToDeath({ death.put(Unit); events.put(Event.Died) }, 0)
                val message = Message.obtain(null, what)
                message.data = asked
                message.replyTo = receiver
                Messenger(binder).send(message)
            } catch (dead: android.os.RemoteException) {
                events.put(Event.Died)
            }
        }

        override fun onServiceDisconnected(name: ComponentName) = events.put(Event.Died)

        /** Ends the process and waits until it is gone, so that the next request gets a fresh one. */
        fun end() {
            if (process == 0) return
            Process.killProcess(process)
            death.poll(5, TimeUnit.SECONDS)
        }
    }
}
