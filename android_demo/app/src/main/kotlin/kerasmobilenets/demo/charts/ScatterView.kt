// Accuracy over latency: each model at its fastest backend, by that backend's mark; numbers lead to the names below.

package kerasmobilenets.demo.charts

import android.content.Context
import android.graphics.Canvas
import android.graphics.RectF
import android.text.Layout
import android.text.StaticLayout
import java.util.Locale
import kerasmobilenets.core.Point
import kerasmobilenets.core.Task
import kerasmobilenets.core.cells
import kerasmobilenets.core.milliseconds
import kerasmobilenets.demo.R
import kerasmobilenets.demo.backendName
import kerasmobilenets.demo.scoreWords
import kotlin.math.ceil
import kotlin.math.ln

/** @param points One or more, the fastest first. */
class ScatterView(context: Context, private val points: List<Point>) : ChartView(context) {
    private val small = ink.words(13, ink.soft)
    private val edge = ink.dp(8)
    private val plot = ink.dp(210)
    private val below = small.fontSpacing
    private val axis = listOf(5, 10, 20, 50, 100)
    private val top = ceil(20 * (points.maxOf { it.score } + 0.01)).coerceAtMost(20.0) / 20
    private val bottom = (20 * points.minOf { it.score } - 0.3).toInt().coerceAtLeast(0) / 20.0
    private val fastest = points.first().milliseconds * 0.8
    private val slowest = maxOf(points.last().milliseconds * 1.25, fastest * 2)
    private var names = emptyList<StaticLayout>()
    private lateinit var title: StaticLayout
    private val underPlot get() = ink.dp(10) + plot + below + ink.dp(6) + title.height + ink.dp(10)

    init {
        isFocusable = true
        contentDescription = points.joinToString(". ") { "${name(it)}${if (it.isBest) ", ${text(R.string.best)}" else ""}" }
    }

    private fun name(point: Point): String {
        val cells = cells(point.entry)
        val figures = listOf(text(R.string.milliseconds, milliseconds(point.milliseconds)), score(point))
        return "${cells.model} ${cells.variant}: ${(figures + resources.backendName(point.entry.job.backend)).joinToString(" · ")}"
    }

    private fun score(point: Point): String {
        val task = point.entry.job.model.task
        return if (task == Task.CLASSIFICATION) String.format(Locale.ROOT, "%.1f%%", 100 * point.score) else resources.scoreWords(task, point.score)
    }

    override fun arrange(width: Int): Float {
        val room = (width - 2 * edge - ink.dp(40)).toInt()
        names = points.map { broken(name(it), ink.words(14, isBold = it.isBest), room) }
        title = broken(text(R.string.scatter_axis), small, (width - 2 * edge).toInt(), Layout.Alignment.ALIGN_OPPOSITE)
        return underPlot + names.sumOf { it.height } + names.size * ink.dp(4) + ink.dp(6)
    }

    private val left get() = edge + small.measureText("100%") + ink.dp(4)
    private fun x(ms: Double) = left + ink.dp(10) + (width - edge - left - ink.dp(20)) * (ln(ms / fastest) / ln(slowest / fastest)).toFloat()
    private fun y(score: Double) = ink.dp(10) + plot * ((top - score) / (top - bottom)).toFloat()

    override fun paint(canvas: Canvas) {
        grid(canvas)
        front(canvas)
        for (point in points) ink.mark(canvas, point.entry.job.backend, x(point.milliseconds), y(point.score), ink.dp(6))
        numbers(canvas)
        var down = underPlot
        names.forEachIndexed { i, layout ->
            val first = layout.getLineBaseline(0)
            canvas.drawText("${i + 1}", edge, down + first, ink.words(14, isBold = points[i].isBest))
            ink.mark(canvas, points[i].entry.job.backend, edge + ink.dp(30), down + layout.getLineBottom(0) / 2f, ink.dp(5))
            canvas.draw(layout, edge + ink.dp(42), down)
            down += layout.height + ink.dp(4)
        }
    }

    private fun grid(canvas: Canvas) {
        val rule = ink.stroke(ink.line)
        val step = axis.first { (top - bottom) * 100 / it <= 5 } / 100.0
        var share = ceil(bottom / step - 1e-9) * step
        while (share <= top + 1e-9) {
            canvas.drawLine(left, y(share), width - edge, y(share), rule)
            canvas.drawText("${Math.round(100 * share)}%", edge, y(share) + small.textSize / 3, small)
            share += step
        }
        var free = left
        for (ms in decades().filter { it in fastest..slowest }) {
            val label = if (ms < 1) String.format(Locale.ROOT, "%s", ms) else "${ms.toInt()}"
            val at = x(ms) - small.measureText(label) / 2
            canvas.drawLine(x(ms), ink.dp(10), x(ms), ink.dp(10) + plot, rule)
            if (at < free) continue
            canvas.drawText(label, at, ink.dp(10) + plot + below, small)
            free = at + small.measureText(label) + ink.dp(6)
        }
        canvas.draw(title, edge, ink.dp(10) + plot + below + ink.dp(6))
    }

    private fun decades() = (-2..3).flatMap { power -> listOf(1, 2, 5).map { it * Math.pow(10.0, power.toDouble()) } }
        .map { String.format(Locale.ROOT, "%.2g", it).toDouble() }

    /** Nothing lies above this line. */
    private fun front(canvas: Canvas) {
        val paint = ink.dashes(ink.soft)
        val best = points.filter { it.isBest }
        best.forEachIndexed { i, point ->
            val end = best.getOrNull(i + 1)
            canvas.drawLine(x(point.milliseconds), y(point.score), if (end == null) width - edge else x(end.milliseconds), y(point.score), paint)
            if (end != null) canvas.drawLine(x(end.milliseconds), y(point.score), x(end.milliseconds), y(end.score), paint)
        }
    }

    /** Writes each number beside its mark, where it covers the fewest marks and numbers. */
    private fun numbers(canvas: Canvas) {
        val label = ink.words(13, isBold = true)
        val (reach, high) = ink.dp(8) to 0.72f * label.textSize
        val taken = points.map { x(it.milliseconds) to y(it.score) }
            .map { (across, down) -> RectF(across - reach, down - reach, across + reach, down + reach) }.toMutableList()
        points.forEachIndexed { i, point ->
            val (across, down) = x(point.milliseconds) to y(point.score)
            val wide = label.measureText("${i + 1}")
            val places = listOf(1 to -1, 1 to 1, -1 to -1, -1 to 1, 0 to -1, 0 to 1).map { (side, up) ->
                val middle = across + side * (reach + wide / 2)
                val centre = down + up * (if (side == 0) reach + high / 2 + ink.dp(2) else high / 2 + ink.dp(2))
                RectF(middle - wide / 2, centre - high / 2, middle + wide / 2, centre + high / 2)
            }
            val place = places.minByOrNull { place -> taken.count { RectF.intersects(it, place) } }!!
            taken += place
            canvas.drawText("${i + 1}", place.left, place.bottom, label)
        }
    }
}
