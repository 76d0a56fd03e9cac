// The comparison: models × backends as a table, bars and a scatter plot; run all or one, a soak, cancel, share.

package kerasmobilenets.demo

import android.app.Activity
import android.content.ClipData
import android.content.Intent
import android.os.Bundle
import android.view.Menu
import android.view.MenuItem
import android.view.View
import android.view.WindowManager
import android.widget.LinearLayout
import android.widget.PopupMenu
import android.widget.ProgressBar
import android.widget.TextView
import android.widget.Toast
import android.widget.Toolbar
import kerasmobilenets.core.Job
import kerasmobilenets.core.Status
import kerasmobilenets.core.csv
import kerasmobilenets.core.markdown
import kerasmobilenets.demo.charts.Sheet
import kerasmobilenets.demo.charts.writePicture

class TableActivity : Activity() {
    private val measuring get() = (application as DemoApp).measuring
    private val sheet by lazy { Sheet(this, measuring.phone.model, ::offer) }

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        setContentView(R.layout.table)
        setActionBar(findViewById<Toolbar>(R.id.toolbar))
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
            R.id.share_png -> sharePicture()
            R.id.share_markdown -> share("text/markdown") { markdown(measuring.session!!.entries) }
            R.id.share_csv -> share("text/csv") { csv(measuring.session!!.rows) }
            R.id.share_json -> share("application/json") { measuring.results() }
            R.id.save_json -> save()
            else -> return super.onOptionsItemSelected(item)
        }
        return true
    }

    private fun start(jobs: List<Job>) = measuring.start(jobs)

    /** What can be done with the row of a bar that was tapped. */
    private fun offer(bar: View, job: Job) {
        if (measuring.session?.isRunning == true) return
        val menu = PopupMenu(this, bar)
        menu.menu.add(R.string.run).setOnMenuItemClickListener { start(listOf(job)); true }
        for (minutes in listOf(1, 10, 30)) {
            val words = getString(R.string.soak_for, getString(R.string.minutes, minutes))
            menu.menu.add(words).setOnMenuItemClickListener { measuring.soak(job, minutes); true }
        }
        menu.show()
    }

    private fun show() {
        val session = measuring.session
        val entries = session?.entries.orEmpty()
        val running = session?.isRunning == true
        fill(R.id.opening, sheet.opening(entries))
        fill(R.id.models, sheet.models(entries, running))
        val progress = findViewById<ProgressBar>(R.id.progress)
        val asked = entries.count { it.status != Status.WAITING || running }
        val done = entries.count { it.status.isDone }
        progress.max = asked
        progress.progress = done
        progress.visibility = if (running) View.VISIBLE else View.INVISIBLE
        findViewById<TextView>(R.id.summary).text = when {
            measuring.failure != null -> getString(R.string.bundle_failed, measuring.failure)
            measuring.unwritten != null -> getString(R.string.unwritten, measuring.unwritten)
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

    private fun fill(id: Int, views: List<View>) = findViewById<LinearLayout>(id).run {
        removeAllViews()
        views.forEach(::addView)
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

    private fun sharePicture() {
        val session = measuring.session
        if (session?.rows.isNullOrEmpty()) return say(R.string.nothing_measured)
        try {
            PictureProvider.file(this).outputStream().use {
                writePicture(this, session!!.entries, measuring.environment(), measuring.phone.model, it)
            }
        } catch (error: java.io.IOException) {
            return say(R.string.not_saved)
        }
        val send = Intent(Intent.ACTION_SEND).setType("image/png").putExtra(Intent.EXTRA_STREAM, PictureProvider.ADDRESS)
            .addFlags(Intent.FLAG_GRANT_READ_URI_PERMISSION)
        send.clipData = ClipData.newRawUri(null, PictureProvider.ADDRESS) // which is what the permission goes by
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
