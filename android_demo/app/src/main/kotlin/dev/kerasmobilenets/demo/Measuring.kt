// The one session of the app: its rows, the thread that measures them, and results.json.

package kerasmobilenets.demo

import java.io.File
import java.util.concurrent.Executors
import kerasmobilenets.core.Backend
import kerasmobilenets.core.Job
import kerasmobilenets.core.Session
import kerasmobilenets.core.resultsJson

class Measuring(private val app: DemoApp) {
    private val thread = Executors.newSingleThreadExecutor()
    private val worker = RemoteWorker(app)
    val phone = Phone(app)

    /** Null until `prepare` has found the backends. */
    @Volatile var session: Session? = null
        private set

    /** What a failed `prepare` says; null when all is well. */
    @Volatile var failure: String? = null
        private set

    /** Told after every change, on any thread. */
    @Volatile var listener: () -> Unit = {}

    /** results.json, rewritten after each run. */
    val file: File get() = File(app.filesDir, "results.json")

    /** Opens the bundle and finds the accelerators, once; then calls `listener`. */
    fun prepare() = thread.execute {
        if (session == null) {
            try {
                val models = app.bundle.models
                val named = worker.accelerators().map { Backend(Backend.Kind.NNAPI, accelerator = it) }
                session = Session(models, Backend.STANDARD + named, worker, phone).also { it.listener = { listener() } }
            } catch (error: kerasmobilenets.core.BundleError) {
                failure = error.message
            }
        }
        listener()
    }

    /** Measures these jobs after what is already asked for; `done` is called on the measuring thread. */
    fun start(jobs: List<Job>, done: () -> Unit = {}) = thread.execute {
        session?.run(jobs)
        file.writeText(results())
        done()
    }

    /** The content of results.json. */
    fun results(): String {
        val rows = session?.rows.orEmpty()
        val measured = app.bundle.models.filter { model -> rows.any { it.model == model.name } }
        val hashes = measured.associate { it.path.substringAfterLast('/') to app.bundle.hashes.getValue(it.path) }
        return resultsJson(rows, phone.environment(hashes)).toString(2)
    }
}
