// A view that lays its texts out when it is measured and then draws them; a screen reader hears its description.

package kerasmobilenets.demo.charts

import android.content.Context
import android.graphics.Canvas
import android.view.View
import kotlin.math.ceil

abstract class ChartView(context: Context) : View(context) {
    protected val ink = Ink(context)

    /** Lays out for a width in pixels; returns the height. */
    protected abstract fun arrange(width: Int): Float

    protected abstract fun paint(canvas: Canvas)

    override fun onMeasure(widthSpec: Int, heightSpec: Int) {
        val width = MeasureSpec.getSize(widthSpec)
        setMeasuredDimension(width, maxOf(minimumHeight, ceil(arrange(width)).toInt()))
    }

    override fun onDraw(canvas: Canvas) = paint(canvas)

    protected fun text(id: Int, vararg values: Any): String = resources.getString(id, *values)
}
