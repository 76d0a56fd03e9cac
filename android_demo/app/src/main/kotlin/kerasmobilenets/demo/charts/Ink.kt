// What the charts are drawn with: colours of the theme, text that grows with the user's font, a mark for each backend.

package kerasmobilenets.demo.charts

import android.content.Context
import android.graphics.Canvas
import android.graphics.Color
import android.graphics.DashPathEffect
import android.graphics.Paint
import android.graphics.Path
import android.graphics.Typeface
import android.text.Layout
import android.text.StaticLayout
import android.text.TextPaint
import android.util.TypedValue
import kerasmobilenets.core.Backend
import kerasmobilenets.demo.R

class Ink(private val context: Context) {
    val text = context.getColor(R.color.text)
    val soft = context.getColor(R.color.soft)
    val line = context.getColor(R.color.line)
    val bad = context.getColor(R.color.bad)
    val accent = context.getColor(R.color.accent)

    fun dp(value: Int): Float = value * context.resources.displayMetrics.density

    private fun sp(value: Int): Float =
        TypedValue.applyDimension(TypedValue.COMPLEX_UNIT_SP, value.toFloat(), context.resources.displayMetrics)

    fun words(size: Int = 14, color: Int = text, isBold: Boolean = false) = TextPaint(Paint.ANTI_ALIAS_FLAG).apply {
        textSize = sp(size)
        this.color = color
        typeface = if (isBold) Typeface.DEFAULT_BOLD else Typeface.DEFAULT
    }

    fun stroke(color: Int, width: Float = dp(1)) = Paint(Paint.ANTI_ALIAS_FLAG).apply {
        this.color = color
        style = Paint.Style.STROKE
        strokeWidth = width
    }

    fun fill(color: Int) = Paint(Paint.ANTI_ALIAS_FLAG).apply { this.color = color }

    fun dashes(color: Int) = stroke(color).apply { pathEffect = DashPathEffect(floatArrayOf(dp(4), dp(3)), 0f) }

    fun color(backend: Backend): Int = context.getColor(
        when (backend.kind) {
            Backend.Kind.CPU -> if (backend.threads == 1) R.color.cpu_1 else R.color.cpu_4
            Backend.Kind.GPU -> R.color.gpu
            Backend.Kind.NNAPI -> R.color.nnapi
        },
    )

    /** Draws a backend's mark: a circle for one thread, a square for several, a triangle for the GPU, a diamond for NNAPI. */
    fun mark(canvas: Canvas, backend: Backend, x: Float, y: Float, radius: Float) {
        val paint = fill(color(backend))
        if (backend.accelerator != null) { // one of several: hollow
            paint.style = Paint.Style.STROKE
            paint.strokeWidth = radius / 2
        }
        when {
            backend.kind == Backend.Kind.CPU && backend.threads == 1 -> canvas.drawCircle(x, y, radius, paint)
            backend.kind == Backend.Kind.CPU ->
                canvas.drawRect(x - 0.88f * radius, y - 0.88f * radius, x + 0.88f * radius, y + 0.88f * radius, paint)
            else -> canvas.drawPath(corners(if (backend.kind == Backend.Kind.GPU) 3 else 4, x, y, 1.2f * radius), paint)
        }
    }

    private fun corners(count: Int, x: Float, y: Float, radius: Float) = Path().apply {
        for (corner in 0 until count) {
            val angle = 2 * Math.PI * corner / count - Math.PI / 2
            val at = floatArrayOf(x + radius * Math.cos(angle).toFloat(), y + radius * Math.sin(angle).toFloat())
            if (corner == 0) moveTo(at[0], at[1]) else lineTo(at[0], at[1])
        }
        close()
    }
}

/** Text broken to a width. */
fun broken(text: String, paint: TextPaint, width: Int, alignment: Layout.Alignment = Layout.Alignment.ALIGN_NORMAL): StaticLayout =
    StaticLayout.Builder.obtain(text, 0, text.length, paint, maxOf(1, width)).setAlignment(alignment).build()

fun Canvas.draw(layout: StaticLayout, x: Float, y: Float) {
    save()
    translate(x, y)
    layout.draw(this)
    restore()
}

/** The color with so much of its opacity, 0..1. */
fun faded(color: Int, opacity: Float): Int =
    Color.argb((255 * opacity).toInt(), Color.red(color), Color.green(color), Color.blue(color))
