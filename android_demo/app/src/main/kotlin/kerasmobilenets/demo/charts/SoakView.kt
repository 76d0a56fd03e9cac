// A soak: latency over minutes, the thermal status below it, and where throttling began.

package kerasmobilenets.demo.charts

import android.content.Context
import android.graphics.Canvas
import android.graphics.Path
import android.text.StaticLayout
import kerasmobilenets.core.Soak
import kerasmobilenets.core.milliseconds
import kerasmobilenets.demo.R
import kerasmobilenets.demo.soakWords
import kerasmobilenets.demo.thermalWord

class SoakView(context: Context, private val soak: Soak, private val color: Int) : ChartView(context) {
    private val small = ink.words(13, ink.soft)
    private val edge = ink.dp(28)
    private val plot = ink.dp(90)
    private val band = small.fontSpacing + ink.dp(4)
    private val highest = soak.windows.maxOf { it.medianMs } * 1.1
    private lateinit var said: StaticLayout

    init {
        isFocusable = true
        contentDescription = resources.soakWords(soak)
    }

    override fun arrange(width: Int): Float {
        said = broken(resources.soakWords(soak), ink.words(14), (width - edge - ink.dp(8)).toInt())
        return said.height + ink.dp(8) + plot + band + small.fontSpacing + ink.dp(10)
    }

    private val left get() = edge + small.measureText(milliseconds(highest)) + ink.dp(6)
    private fun x(seconds: Double) = left + (width - ink.dp(8) - left) * (seconds / (60.0 * soak.minutes)).toFloat().coerceAtMost(1f)
    private fun y(ms: Double) = top + plot * (1 - (ms / highest).toFloat())
    private val top get() = said.height + ink.dp(8)

    override fun paint(canvas: Canvas) {
        canvas.draw(said, edge, 0f)
        val rule = ink.stroke(ink.line)
        for (ms in listOf(0.0, highest / 1.1)) {
            canvas.drawLine(left, y(ms), width - ink.dp(8), y(ms), rule)
            val label = if (ms == 0.0) "0" else milliseconds(ms)
            canvas.drawText(label, left - ink.dp(6) - small.measureText(label), y(ms) + small.textSize / 3, small)
        }
        val line = Path()
        soak.windows.forEachIndexed { i, window -> if (i == 0) line.moveTo(x(window.endS), y(window.medianMs)) else line.lineTo(x(window.endS), y(window.medianMs)) }
        canvas.drawPath(line, ink.stroke(color, ink.dp(2)))
        soak.throttledS?.let { canvas.drawLine(x(it), top, x(it), top + plot, ink.dashes(ink.bad)) }
        thermal(canvas)
        val minutes = text(R.string.minutes, soak.minutes)
        val base = top + plot + band + small.textSize + ink.dp(3)
        canvas.drawText("0", left, base, small)
        canvas.drawText(minutes, width - ink.dp(8) - small.measureText(minutes), base, small)
    }

    /** A strip that gets darker with the heat, each status named where it begins if there is room. */
    private fun thermal(canvas: Canvas) {
        var start = 0.0
        var at = 0
        while (at < soak.windows.size) {
            val status = soak.windows[at].thermal
            while (at + 1 < soak.windows.size && soak.windows[at + 1].thermal == status) at++
            val end = soak.windows[at].endS
            val heat = STATUSES.indexOf(status).coerceAtLeast(0) / (STATUSES.size - 1f)
            canvas.drawRect(x(start), top + plot + ink.dp(2), x(end) - ink.dp(1), top + plot + band, ink.fill(faded(ink.bad, 0.08f + 0.5f * heat)))
            val word = resources.thermalWord(status)
            val words = ink.words(13)
            if (words.measureText(word) + ink.dp(4) < x(end) - x(start)) {
                canvas.drawText(word, x(start) + ink.dp(3), top + plot + small.textSize + ink.dp(3), words)
            }
            start = end
            at++
        }
    }

    private companion object {
        val STATUSES = listOf("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
    }
}
