// The benchmark from a host:
//     adb shell am instrument -w -r -e backends cpu-4,nnapi kerasmobilenets.demo/.BenchmarkInstrumentation
// Arguments: models and backends ("all", or names with commas between), runs (timed inferences at least), bundle (a
// folder on the phone; by default the APK's), soak (minutes, of one row). Statuses say progress=DONE/TOTAL MODEL BACKEND; results.json grows row
// by row.

package kerasmobilenets.demo

import android.app.Activity
import android.app.Instrumentation
import android.content.Intent
import android.os.Bundle
import java.util.concurrent.CountDownLatch
import kerasmobilenets.core.Entry
import kerasmobilenets.core.Job
import kerasmobilenets.core.Session
import kerasmobilenets.core.Status
import kerasmobilenets.core.Timing

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
        app.measuring.prepare(asked.getString("bundle"))
        app.measuring.start(emptyList()) { ready.countDown() } // stands in line behind prepare
        ready.await()
        app.measuring.failure?.let { return refuse(it) }
        measure(app.measuring, app.measuring.session!!)
    }

    private fun measure(measuring: Measuring, session: Session) {
        val jobs = session.entries.map { it.job }
            .filter { isAsked("models", it.model.name) && isAsked("backends", it.backend.id) }
        if (jobs.isEmpty()) return refuse("no row is left of these models and backends")
        val timing = asked.getString("runs")?.let { Timing(minRuns = it.toInt()) } ?: Timing()
        val minutes = asked.getString("soak")?.toInt() ?: 0
        if (minutes > 0 && jobs.size > 1) return refuse("a soak is of one row, and ${jobs.size} are asked for; name one model and one backend")
        val show = session.listener
        session.listener = {
            show()
            tell(session.entries, jobs)
        }
        val done = CountDownLatch(1)
        if (minutes == 0) measuring.start(jobs, timing) { done.countDown() }
        else measuring.soak(jobs[0], minutes, timing) { done.countDown() }
        done.await()
        session.listener = show
        measuring.unwritten?.let { return refuse("results.json could not be written on the phone: $it") }
        val end = Bundle()
        end.putString("results", measuring.file.path)
        finish(Activity.RESULT_OK, end)
    }

    private fun isAsked(kind: String, name: String): Boolean {
        val names = asked.getString(kind) ?: "all"
        return names == "all" || name in names.split(',')
    }

    private fun tell(entries: List<Entry>, jobs: List<Job>) {
        val done = entries.count { it.job in jobs && it.status.isDone }
        val now = entries.firstOrNull { it.status == Status.RUNNING || it.status == Status.COOLING }?.job?.id.orEmpty()
        val status = Bundle()
        status.putString("progress", "$done/${jobs.size} $now".trim())
        sendStatus(0, status)
    }

    private fun refuse(reason: String) {
        val end = Bundle()
        end.putString("error", reason)
        finish(Activity.RESULT_CANCELED, end)
    }
}
