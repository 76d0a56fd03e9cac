// All that is known of a session, from top to bottom: the papers' table, accuracy over latency, a card for each model.

package kerasmobilenets.demo.charts

import android.content.Context
import android.graphics.drawable.GradientDrawable
import android.view.View
import android.view.ViewGroup.LayoutParams.MATCH_PARENT
import android.view.ViewGroup.LayoutParams.WRAP_CONTENT
import android.widget.LinearLayout
import android.widget.TextView
import kerasmobilenets.core.Entry
import kerasmobilenets.core.Group
import kerasmobilenets.core.Job
import kerasmobilenets.core.accuracyLatency
import kerasmobilenets.core.fastestFirst
import kerasmobilenets.core.groups
import kerasmobilenets.core.isMeasured
import kerasmobilenets.core.milliseconds
import kerasmobilenets.core.papersTable
import kerasmobilenets.core.publishedOn
import kerasmobilenets.core.familyName
import kerasmobilenets.core.variantName
import kerasmobilenets.demo.R
import kerasmobilenets.demo.sizeWords

/**
 * @param phone Android's Build.MODEL, for which figures may have been published.
 * @param tapped Called with a bar that is tapped and its job; null where nothing can be.
 */
class Sheet(private val context: Context, private val phone: String, private val tapped: ((View, Job) -> Unit)?) {
    private val ink = Ink(context)

    /** The opening: the papers' table, and accuracy over latency. */
    fun opening(entries: List<Entry>): List<View> {
        val table = papersTable(entries)
        val cards = mutableListOf<View>()
        if (table.lines.size > 1) {
            val view = PapersTableView(context, table)
            cards += card(title(R.string.papers), view, soft(view.caption))
        }
        for (models in groups(entries).groupBy { it.model.task }.values) {
            val points = accuracyLatency(models)
            if (points.size > 1) cards += card(title(R.string.scatter), ScatterView(context, points))
        }
        return cards
    }

    /** A card for each model; the fastest first, but in the bundle's order while they are being measured. */
    fun models(entries: List<Entry>, isRunning: Boolean): List<View> {
        val found = groups(entries).let { if (isRunning) it else fastestFirst(it) }
        return found.map { group -> card(*parts(group).toTypedArray()) }
    }

    private fun parts(group: Group): List<View> {
        val published = publishedOn(group.model, phone)
        val longest = (group.entries.filter { it.isMeasured }.flatMap { listOf(it.milliseconds, it.row?.number("p90_ms")?.toDouble() ?: 0.0) } +
            published.map { it.milliseconds }).maxOrNull() ?: 1.0
        val bars = group.entries.flatMap { entry ->
            val bar = BarView(context, entry, longest)
            tapped?.let { then -> bar.setOnClickListener { then(it, entry.job) } }
            val soak = entry.row?.soak?.takeIf { it.windows.isNotEmpty() }
            listOfNotNull(bar, soak?.let { SoakView(context, it, ink.color(entry.job.backend)) })
        }
        val heading = "${familyName(group.model)} ${variantName(group.model)}"
        val grey = published.map { PublishedView(context, it, longest) }
        return listOf(title(heading), soft(context.resources.sizeWords(group))) + bars + grey
    }

    private fun title(id: Int) = title(context.getString(id))

    private fun title(words: String) = words(words, 17, ink.text).apply {
        typeface = android.graphics.Typeface.DEFAULT_BOLD
        if (android.os.Build.VERSION.SDK_INT >= 28) isAccessibilityHeading = true
    }

    private fun soft(words: String) = words(words, 14, ink.soft)

    private fun words(words: String, size: Int, color: Int) = TextView(context).apply {
        text = words
        textSize = size.toFloat()
        setTextColor(color)
        setPadding(ink.dp(8).toInt(), ink.dp(2).toInt(), ink.dp(8).toInt(), ink.dp(2).toInt())
    }

    private fun card(vararg views: View) = LinearLayout(context).apply {
        orientation = LinearLayout.VERTICAL
        background = GradientDrawable().apply {
            setColor(context.getColor(R.color.card))
            cornerRadius = ink.dp(12)
        }
        setPadding(ink.dp(8).toInt(), ink.dp(10).toInt(), ink.dp(8).toInt(), ink.dp(8).toInt())
        for (view in views) addView(view, LinearLayout.LayoutParams(MATCH_PARENT, WRAP_CONTENT))
        layoutParams = LinearLayout.LayoutParams(MATCH_PARENT, WRAP_CONTENT).apply {
            setMargins(0, 0, 0, ink.dp(10).toInt())
        }
    }
}
