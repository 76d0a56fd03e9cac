// The papers' table: a column each for standard convolutions, separable ones and int8; below each other where they do not fit.

package kerasmobilenets.demo.charts

import android.content.Context
import android.graphics.Canvas
import android.text.Layout
import android.text.StaticLayout
import java.util.Locale
import kerasmobilenets.core.Line
import kerasmobilenets.core.PapersTable
import kerasmobilenets.core.Step
import kerasmobilenets.core.UNKNOWN
import kerasmobilenets.core.milliseconds
import kerasmobilenets.demo.R
import kerasmobilenets.demo.backendName

class PapersTableView(context: Context, private val table: PapersTable) : ChartView(context) {
    private class Placed(val layout: StaticLayout, val x: Float, val y: Float)

    private val placed = mutableListOf<Placed>()
    private val rules = mutableListOf<Float>()
    private val gap = ink.dp(8)
    private val head = ink.words(13, isBold = true)

    init {
        isFocusable = true
        contentDescription = table.lines.joinToString(". ") { line ->
            (listOf(heading(line)) + ROWS.map { (title, value) -> "${text(title)} ${value(line)}" }).joinToString(", ")
        }
    }

    override fun arrange(width: Int): Float {
        placed.clear()
        rules.clear()
        val titles = ROWS.map { (title, _) -> ink.words(14, ink.soft).measureText(text(title)) }
        val figures = table.lines.flatMap { line -> ROWS.map { (_, value) -> paint(last = true).measureText(value(line)) } }
        val words = table.lines.flatMap { heading(it).split(' ') }.map(head::measureText)
        val first = titles.max() + gap
        val column = (width - 2 * gap - first) / table.lines.size
        val fits = (figures + words).all { it + gap <= column }
        return (if (fits) sideBySide(first, column) else stacked(width - 2 * gap)) + gap
    }

    private fun sideBySide(first: Float, column: Float): Float {
        val heads = table.lines.map { broken(heading(it), head, (column - gap).toInt(), Layout.Alignment.ALIGN_OPPOSITE) }
        val deepest = heads.maxOf { it.height }
        heads.forEachIndexed { i, layout -> placed += Placed(layout, gap + first + i * column + gap, (deepest - layout.height).toFloat()) }
        var y = deepest + gap / 2
        for ((title, value) in ROWS) {
            rules += y
            y += gap / 2
            val isLast = title == R.string.speed_up
            val name = broken(text(title), ink.words(14, ink.soft), first.toInt())
            placed += Placed(name, gap, y)
            table.lines.forEachIndexed { i, line ->
                val cell = broken(value(line), paint(isLast), (column - gap).toInt(), Layout.Alignment.ALIGN_OPPOSITE)
                placed += Placed(cell, gap + first + i * column + gap, y)
            }
            y += name.height + gap / 2
        }
        return y
    }

    private fun stacked(width: Float): Float {
        var y = 0f
        for (line in table.lines) {
            if (line != table.lines.first()) rules += y
            y += gap / 2
            val head = broken(heading(line), ink.words(15, isBold = true), width.toInt())
            placed += Placed(head, gap, y)
            y += head.height
            for ((title, value) in ROWS) {
                val name = broken(text(title), ink.words(14, ink.soft), (0.6f * width).toInt())
                val cell = broken(value(line), paint(title == R.string.speed_up), width.toInt(), Layout.Alignment.ALIGN_OPPOSITE)
                placed += listOf(Placed(name, gap, y), Placed(cell, gap, y))
                y += maxOf(name.height, cell.height)
            }
            y += gap / 2
        }
        return y
    }

    private fun paint(last: Boolean) = if (last) ink.words(16, ink.accent, isBold = true) else ink.words(14)

    override fun paint(canvas: Canvas) {
        for (y in rules) canvas.drawLine(gap, y, width - gap, y, ink.stroke(ink.line))
        for (each in placed) canvas.draw(each.layout, each.x, each.y)
    }

    private fun heading(line: Line) = text(
        when (line.step) {
            Step.STANDARD -> R.string.step_standard
            Step.SEPARABLE -> R.string.step_separable
            Step.INT8 -> R.string.step_int8
        },
    )

    /** What the speed-up is measured by. */
    val caption: String
        get() {
            val backend = table.backend ?: return text(R.string.papers_unmeasured)
            return text(R.string.papers_caption, resources.backendName(backend), heading(table.lines.first()))
        }

    private companion object {
        fun format(pattern: String, value: Double?) = if (value == null) UNKNOWN else String.format(Locale.ROOT, pattern, value)

        val ROWS = listOf<Pair<Int, (Line) -> String>>(
            R.string.parameters to { line -> format("%.2f M", line.model.parameters?.let { it / 1e6 }) },
            R.string.size to { line -> format("%.2f MB", line.sizeMb) },
            R.string.latency to { line -> line.milliseconds?.let { "${milliseconds(it)} ms" } ?: UNKNOWN },
            R.string.top1 to { line -> format("%.1f%%", line.top1?.let { 100 * it }) },
            R.string.speed_up to { line -> format("%.1f×", line.speedUp) },
        )
    }
}
