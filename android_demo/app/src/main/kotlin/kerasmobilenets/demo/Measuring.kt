// The one session of the app: its rows, the thread that measures them, and results.json.

package kerasmobilenets.demo

import kerasmobilenets.core.Backend
import kerasmobilenets.core.Bundle
import kerasmobilenets.core.Environment
import kerasmobilenets.core.Job
import kerasmobilenets.core.Session
import kerasmobilenets.core.Timing
import kerasmobilenets.core.oneLine
import kerasmobilenets.core.replace
import kerasmobilenets.core.resultsJson
import java.io.File
import java.util.concurrent.Executors

class Measuring(private val app: DemoApp) {
    private val thread = Executors.newSingleThreadExecutor()
    private val worker = RemoteWorker(app)
    val phone = Phone(app)

    /** Null until `prepare` has opened it. */
    @Volatile var bundle: Bundle? = null
        private set

    /** Null until `prepare` has found the backends. */
    @Volatile var session: Session? = null
        private set

    /** What a failed `prepare` says; null when all is well. */
    @Volatile var failure: String? = null
        private set

    /** Why results.json could not be written, such as for a full disk; null when all is well. */
    @Volatile var unwritten: String? = null
        private set

    /** Told after every change, on any thread. */
    @Volatile var listener: () -> Unit = {}

    /** results.json, rewritten after each row, where adb can fetch it. */
    val file: File get() = File(app.getExternalFilesDir(null) ?: app.filesDir, "results.json")

    /** Opens a bundle (as `openBundle` does) and finds the accelerators; then calls `listener`. */
    fun prepare(folder: String? = worker.folder) = thread.execute {
        if (session == null || folder != worker.folder) {
            try {
                val opened = app.openBundle(folder)
                worker.folder = folder
                val names = worker.accelerators(opened.models.first())
                val backends = Backend.STANDARD + names.map { Backend(Backend.Kind.NNAPI, accelerator = it) }
                bundle = opened
                session = Session(opened.models, backends, worker, phone).also { it.listener = ::changed }
                failure = null
            } catch (error: kerasmobilenets.core.BundleError) {
                failure = error.message
            }
        }
        listener()
    }

    /** Measures these jobs after what is already asked for; `done` is called on the measuring thread. */
    fun start(jobs: List<Job>, timing: Timing = Timing(), done: () -> Unit = {}) = thread.execute {
        worker.timing = timing
        session?.run(jobs)
        done()
    }

    /** Measures one job for minutes, likewise. */
    fun soak(job: Job, minutes: Int, timing: Timing = Timing(), done: () -> Unit = {}) = thread.execute {
        worker.timing = timing
        session?.soak(job, minutes)
        done()
    }

    private fun changed() {
        val rows = session?.rows.orEmpty()
        if (rows.isNotEmpty()) write()
        listener()
    }

    /** Keeps measuring when there is no place for the file: the screen and what is shared have the rows. */
    private fun write() {
        unwritten = try {
            replace(file, results().toByteArray())
            null
        } catch (error: java.io.IOException) {
            oneLine(error.message)
        }
    }

    /** The content of results.json. */
    fun results(): String = resultsJson(session?.rows.orEmpty(), environment()).toString(2)

    /** Where it was measured, and what. */
    fun environment(): Environment {
        val rows = session?.rows.orEmpty()
        val measured = bundle!!.models.filter { model -> rows.any { it.model == model.name } }
        val hashes = measured.associate { it.path.substringAfterLast('/') to bundle!!.hashes.getValue(it.path) }
        return phone.environment(hashes)
    }
}
