// The benchmark from a host: adb shell am instrument -w -r -e backends cpu-4,nnapi kerasmobilenets.demo/.BenchmarkInstrumentation
// Every step is an INSTRUMENTATION_STATUS; the last lines say where results.json lies.

package kerasmobilenets.demo

import android.app.Activity
import android.app.Instrumentation
import android.content.Intent
import android.os.Bundle
import java.util.concurrent.CountDownLatch
import kerasmobilenets.core.Session
import kerasmobilenets.core.Status

class BenchmarkInstrumentation : Instrumentation() {
    private lateinit var asked: Bundle

    override fun onCreate(arguments: Bundle?) {
        super.onCreate(arguments)
        asked = arguments ?: Bundle()
        start()
    }

    override fun onStart() {
        super.onStart()
        val app = targetContext.applicationContext as DemoApp
        val table = Intent(targetContext, TableActivity::class.java)
            .addFlags(Intent.FLAG_ACTIVITY_NEW_TASK).putExtra(TableActivity.UNATTENDED, true)
        startActivitySync(table)
        val ready = CountDownLatch(1)
        app.measuring.prepare()
        app.measuring.start(emptyList()) { ready.countDown() } // stands in line behind prepare
        ready.await()
        val session = app.measuring.session ?: return refuse(app.measuring.failure ?: "the app could not prepare")
        measure(app, session)
    }

    private fun measure(app: DemoApp, session: Session) {
        val models = list("models")
        val backends = list("backends")
        val jobs = session.entries.map { it.job }
            .filter { (models == null || it.model.name in models) && (backends == null || it.backend.id in backends) }
        if (jobs.isEmpty()) return refuse("no row is left: models $models, backends $backends")
        val screen = session.listener
        session.listener = {
            screen()
            session.entries.firstOrNull { it.status == Status.RUNNING }?.let { running ->
                say("row" to "${jobs.indexOf(running.job) + 1}/${jobs.size}", "job" to running.job.id)
            }
        }
        val done = CountDownLatch(1)
        app.measuring.start(jobs) { done.countDown() }
        done.await()
        session.listener = screen
        val end = Bundle()
        end.putString("results", app.measuring.file.path)
        finish(Activity.RESULT_OK, end)
    }

    private fun list(name: String): List<String>? = asked.getString(name)?.split(',')

    private fun say(vararg pairs: Pair<String, String>) {
        val status = Bundle()
        for ((key, value) in pairs) status.putString(key, value)
        sendStatus(0, status)
    }

    private fun refuse(reason: String) {
        val end = Bundle()
        end.putString("error", reason)
        finish(Activity.RESULT_CANCELED, end)
    }
}
