// The rows of the table as views; a screen reader hears each row as one sentence.

package kerasmobilenets.demo

import android.app.Activity
import android.view.View
import android.view.ViewGroup
import android.widget.BaseAdapter
import android.widget.Button
import android.widget.LinearLayout
import android.widget.TextView
import kerasmobilenets.core.Entry
import kerasmobilenets.core.Job
import kerasmobilenets.core.cells

class RowAdapter(private val activity: Activity, private val run: (Job) -> Unit) : BaseAdapter() {
    private var entries = emptyList<Entry>()
    private var running = false

    fun show(entries: List<Entry>, running: Boolean) {
        this.entries = entries
        this.running = running
        notifyDataSetChanged()
    }

    override fun getCount() = entries.size
    override fun getItem(position: Int) = entries[position]
    override fun getItemId(position: Int) = position.toLong()

    override fun getView(position: Int, old: View?, parent: ViewGroup): View {
        val view = old ?: activity.layoutInflater.inflate(R.layout.row, parent, false)
        val entry = entries[position]
        val texts = texts(entry)
        val sentence = view.findViewById<LinearLayout>(R.id.texts)
        val empty = if (sentence.orientation == LinearLayout.VERTICAL) View.GONE else View.INVISIBLE // columns keep theirs
        for ((id, text) in texts) view.findViewById<TextView>(id).let {
            it.text = text
            it.visibility = if (text.isEmpty()) empty else View.VISIBLE
        }
        sentence.contentDescription = texts.values.filter { it.isNotEmpty() }.joinToString(", ")
        view.findViewById<Button>(R.id.run).apply {
            isEnabled = !running
            contentDescription = activity.getString(R.string.run_row, texts[R.id.model], texts[R.id.backend])
            setOnClickListener { run(entry.job) }
        }
        return view
    }

    private fun texts(entry: Entry): Map<Int, String> {
        val cells = cells(entry)
        val measured = entry.row?.isOk == true
        val figures = listOf(
            activity.getString(R.string.median_of, cells.median),
            activity.getString(R.string.p90_of, cells.p90),
        )
        val details = listOf(
            activity.getString(R.string.top1_of, cells.top1),
            activity.getString(R.string.megabytes, cells.size),
            activity.getString(R.string.operators_of, cells.operators, cells.partitions),
        )
        return mapOf(
            R.id.model to "${cells.model} ${cells.variant}",
            R.id.backend to activity.resources.backendName(entry.job.backend),
            R.id.figures to if (measured) figures.joinToString(" · ") else "",
            R.id.details to if (measured) details.joinToString(" · ") else "",
            R.id.status to activity.resources.statusWords(entry),
        )
    }
}
