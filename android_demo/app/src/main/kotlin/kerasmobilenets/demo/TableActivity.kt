// The table: models × backends, run all or one, cancel, share.

package kerasmobilenets.demo

import android.app.Activity
import android.content.Intent
import android.os.Bundle
import android.view.Menu
import android.view.MenuItem
import android.view.View
import android.view.WindowManager
import android.widget.ListView
import android.widget.ProgressBar
import android.widget.TextView
import android.widget.Toast
import android.widget.Toolbar
import kerasmobilenets.core.Job
import kerasmobilenets.core.Status
import kerasmobilenets.core.csv
import kerasmobilenets.core.markdown

class TableActivity : Activity() {
    private val measuring get() = (application as DemoApp).measuring
    private val adapter by lazy { RowAdapter(this) { job -> start(listOf(job)) } }

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        setContentView(R.layout.table)
        setActionBar(findViewById<Toolbar>(R.id.toolbar))
        findViewById<ListView>(R.id.rows).let {
            it.itemsCanFocus = true
            it.adapter = adapter
        }
        if (intent.getBooleanExtra(UNATTENDED, false)) {
            setShowWhenLocked(true)
            setTurnScreenOn(true)
        }
    }

    override fun onStart() {
        super.onStart()
        measuring.listener = { runOnUiThread(::show) }
        measuring.prepare()
        show()
    }

    override fun onStop() {
        measuring.listener = {}
        super.onStop()
    }

    override fun onCreateOptionsMenu(menu: Menu): Boolean {
        menuInflater.inflate(R.menu.table, menu)
        return true
    }

    override fun onPrepareOptionsMenu(menu: Menu): Boolean {
        val running = measuring.session?.isRunning == true
        menu.findItem(R.id.run_all).setVisible(!running).setEnabled(measuring.session != null)
        menu.findItem(R.id.cancel).isVisible = running
        return true
    }

    override fun onOptionsItemSelected(item: MenuItem): Boolean {
        when (item.itemId) {
            R.id.run_all -> start(measuring.session?.entries.orEmpty().map { it.job })
            R.id.cancel -> measuring.session?.cancel()
            R.id.camera -> startActivity(Intent(this, CameraActivity::class.java))
            R.id.share_markdown -> share("text/markdown") { markdown(measuring.session!!.entries) }
            R.id.share_csv -> share("text/csv") { csv(measuring.session!!.rows) }
            R.id.share_json -> share("application/json") { measuring.results() }
            R.id.save_json -> save()
            else -> return super.onOptionsItemSelected(item)
        }
        return true
    }

    private fun start(jobs: List<Job>) = measuring.start(jobs)

    private fun show() {
        val session = measuring.session
        val entries = session?.entries.orEmpty()
        val running = session?.isRunning == true
        adapter.show(entries, running)
        val progress = findViewById<ProgressBar>(R.id.progress)
        val asked = entries.count { it.status != Status.WAITING || running }
        val done = entries.count { it.row != null || it.status == Status.CANCELLED }
        progress.max = asked
        progress.progress = done
        progress.visibility = if (running) View.VISIBLE else View.INVISIBLE
        findViewById<TextView>(R.id.summary).text = when {
            measuring.failure != null -> getString(R.string.bundle_failed, measuring.failure)
            session == null -> getString(R.string.looking)
            running -> getString(R.string.progress, done, entries.size)
            else -> getString(
                R.string.ready,
                entries.distinctBy { it.job.model }.size,
                entries.size,
                resources.thermalWord(measuring.phone.thermalStatus()),
            )
        }
        keepAwake(running)
        invalidateOptionsMenu()
    }

    /** While it measures, the screen stays on and the clocks stay where they can be held. */
    private fun keepAwake(running: Boolean) {
        val flag = WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON
        if (running) window.addFlags(flag) else window.clearFlags(flag)
        if (measuring.phone.canSustain) window.setSustainedPerformanceMode(running)
    }

    private fun share(type: String, content: () -> String) {
        if (measuring.session?.rows.isNullOrEmpty()) return say(R.string.nothing_measured)
        val send = Intent(Intent.ACTION_SEND).setType(type).putExtra(Intent.EXTRA_TEXT, content())
        startActivity(Intent.createChooser(send, null))
    }

    private fun save() {
        if (measuring.session?.rows.isNullOrEmpty()) return say(R.string.nothing_measured)
        val create = Intent(Intent.ACTION_CREATE_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE)
            .setType("application/json").putExtra(Intent.EXTRA_TITLE, "results.json")
        try {
            startActivityForResult(create, SAVE)
        } catch (error: android.content.ActivityNotFoundException) {
            say(R.string.not_saved)
        }
    }

    override fun onActivityResult(request: Int, result: Int, data: Intent?) {
        val place = data?.data ?: return
        if (request != SAVE || result != RESULT_OK) return
        try {
            contentResolver.openOutputStream(place)!!.use { it.write(measuring.results().toByteArray()) }
            say(R.string.saved)
        } catch (error: java.io.IOException) {
            say(R.string.not_saved)
        }
    }

    private fun say(text: Int) = Toast.makeText(this, text, Toast.LENGTH_LONG).show()

    companion object {
        /** Extra of a start by adb: shows over the lock screen. */
        const val UNATTENDED = "unattended"
        private const val SAVE = 1
    }
}
