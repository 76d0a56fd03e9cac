// One backend of a model: its mark and name, the median as a bar with a whisker to p90, and what is to be said of it.

package kerasmobilenets.demo.charts

import android.content.Context
import android.graphics.Canvas
import android.text.Layout
import android.text.StaticLayout
import kerasmobilenets.core.Entry
import kerasmobilenets.core.Status
import kerasmobilenets.core.cells
import kerasmobilenets.core.isMeasured
import kerasmobilenets.core.milliseconds
import kerasmobilenets.demo.R
import kerasmobilenets.demo.backendName
import kerasmobilenets.demo.statusWords

/** @param longestMs What a bar of the whole width stands for. */
class BarView(context: Context, private val entry: Entry, private val longestMs: Double) : ChartView(context) {
    private val edge = ink.dp(28)
    private lateinit var name: StaticLayout
    private lateinit var figure: StaticLayout
    private var said: StaticLayout? = null

    init {
        minimumHeight = ink.dp(48).toInt()
        isFocusable = true
        val figures = if (isTimed) listOf(text(R.string.median_of, cells(entry).median), text(R.string.p90_of, cells(entry).p90)) else emptyList()
        contentDescription = (listOf(resources.backendName(entry.job.backend)) + figures + note).filter { it.isNotEmpty() }.joinToString(", ")
    }

    private val isTimed get() = entry.row?.number("median_ms") != null
    private val isBad get() = entry.status == Status.FAILED || entry.status == Status.FELL_BACK

    /** What a bar alone does not say. */
    private val note: String
        get() {
            if (entry.status != Status.OK) return resources.statusWords(entry)
            val cells = cells(entry)
            val isWhole = entry.row?.number("nodes_delegated") == entry.row?.number("nodes_total")
            val taken = if (isWhole) "" else text(R.string.operators_of, cells.operators, cells.partitions)
            return listOf(taken, entry.row?.error.orEmpty()).filter { it.isNotEmpty() }.joinToString(" · ")
        }

    override fun arrange(width: Int): Float {
        val room = width - edge - ink.dp(8)
        val milliseconds = if (isTimed) text(R.string.milliseconds, cells(entry).median) else ""
        val bold = ink.words(16, if (isBad) ink.soft else ink.text, isBold = true)
        figure = broken(milliseconds, bold, bold.measureText(milliseconds).toInt() + 2, Layout.Alignment.ALIGN_OPPOSITE)
        name = broken(resources.backendName(entry.job.backend), ink.words(15), (room - figure.width - ink.dp(8)).toInt())
        said = note.takeIf { it.isNotEmpty() }?.let { broken(it, ink.words(13, if (isBad) ink.bad else ink.soft), room.toInt()) }
        return top() + (if (entry.isMeasured) ink.dp(20) else 0f) + (said?.height ?: 0) + ink.dp(6)
    }

    private fun top() = ink.dp(6) + maxOf(name.height, figure.height)

    override fun paint(canvas: Canvas) {
        ink.mark(canvas, entry.job.backend, ink.dp(13), ink.dp(6) + name.getLineBottom(0) / 2f, ink.dp(6))
        canvas.draw(name, edge, ink.dp(6))
        canvas.draw(figure, width - ink.dp(8) - figure.width, ink.dp(6))
        var y = top()
        if (entry.isMeasured) {
            bar(canvas, y + ink.dp(9))
            y += ink.dp(20)
        }
        said?.let { canvas.draw(it, edge, y) }
    }

    private fun bar(canvas: Canvas, middle: Float) {
        val unit = (width - edge - ink.dp(8)) / longestMs.toFloat()
        val end = edge + unit * entry.milliseconds.toFloat()
        val p90 = edge + unit * (entry.row?.number("p90_ms")?.toFloat() ?: entry.milliseconds.toFloat())
        val half = ink.dp(5)
        canvas.drawRoundRect(edge, middle - half, maxOf(end, edge + ink.dp(2)), middle + half, ink.dp(2), ink.dp(2), ink.fill(ink.color(entry.job.backend)))
        val whisker = ink.stroke(ink.text, ink.dp(1) * 1.5f)
        canvas.drawLine(end, middle, p90, middle, whisker)
        canvas.drawLine(p90, middle - half, p90, middle + half, whisker)
    }
}
