// What others published of a network on this phone: in grey and hollow, beside what was measured and never among it.

package kerasmobilenets.demo.charts

import android.content.Context
import android.graphics.Canvas
import android.text.StaticLayout
import kerasmobilenets.core.PublishedLatency
import kerasmobilenets.core.milliseconds
import kerasmobilenets.demo.R

class PublishedView(context: Context, private val published: PublishedLatency, private val longestMs: Double) : ChartView(context) {
    private val edge = ink.dp(28)
    private val words = text(R.string.published, milliseconds(published.milliseconds), published.runtime, published.source)
    private lateinit var said: StaticLayout

    init {
        isFocusable = true
        contentDescription = words
    }

    override fun arrange(width: Int): Float {
        said = broken(words, ink.words(13, ink.soft), (width - edge - ink.dp(8)).toInt())
        return ink.dp(18) + said.height + ink.dp(6)
    }

    override fun paint(canvas: Canvas) {
        val end = edge + (width - edge - ink.dp(8)) * (published.milliseconds / longestMs).toFloat()
        canvas.drawRect(edge, ink.dp(6), end, ink.dp(14), ink.dashes(ink.soft))
        canvas.draw(said, edge, ink.dp(18))
    }
}
