// Boxes over the camera's preview or a picture: a frame in the class's colour, its name and score on a tag of that colour.

package kerasmobilenets.demo

import android.content.Context
import android.graphics.Canvas
import android.graphics.Color
import android.graphics.RectF
import android.util.AttributeSet
import android.view.View
import java.util.Locale
import kerasmobilenets.core.Box
import kerasmobilenets.core.Placement
import kerasmobilenets.core.boxColor
import kerasmobilenets.demo.charts.Ink

class BoxesView(context: Context, attributes: AttributeSet?) : View(context, attributes) {
    private class Tag(val place: RectF, val words: String)

    private val ink = Ink(context)
    private val letters = ink.words(14, Color.BLACK, isBold = true)
    private var boxes = emptyList<Box>()
    private var names = emptyList<String>()
    private var picture = 1 to 1
    private var isMirrored = false

    init {
        importantForAccessibility = IMPORTANT_FOR_ACCESSIBILITY_NO // what is found stands below it in words
    }

    /**
     * @param boxes The surest first.
     * @param names Of their classes.
     * @param width Of the picture as it is shown upright, in any unit; the view shows the whole of it in its middle.
     */
    fun show(boxes: List<Box>, names: List<String>, width: Int, height: Int, isMirrored: Boolean) {
        this.boxes = boxes
        this.names = names
        this.isMirrored = isMirrored
        picture = width to height
        invalidate()
    }

    fun clear() = show(emptyList(), emptyList(), 1, 1, isMirrored = false)

    override fun onDraw(canvas: Canvas) {
        val placement = Placement(width, height, picture.first, picture.second, isMirrored)
        val frames = boxes.map { box -> placement.of(box).let { RectF(it.left, it.top, it.right, it.bottom) } }
        val tags = mutableListOf<Tag>()
        boxes.forEachIndexed { i, box -> tags += tag(box, frames[i], tags) }
        for (i in boxes.indices.reversed()) frame(canvas, frames[i], boxColor(boxes[i].label))
        for (i in boxes.indices.reversed()) {
            val tag = tags[i]
            canvas.drawRoundRect(tag.place, ink.dp(3), ink.dp(3), ink.fill(boxColor(boxes[i].label)))
            canvas.drawText(tag.words, tag.place.left + ink.dp(5), tag.place.bottom - letters.fontMetrics.descent - ink.dp(1), letters)
        }
    }

    /** On a dark seam, so that the frame is seen on any picture. */
    private fun frame(canvas: Canvas, place: RectF, color: Int) {
        canvas.drawRoundRect(place, ink.dp(3), ink.dp(3), ink.stroke(Color.argb(150, 0, 0, 0), ink.dp(5)))
        canvas.drawRoundRect(place, ink.dp(3), ink.dp(3), ink.stroke(color, ink.dp(3)))
    }

    /** Over the box, in it, under it: the first that is in view and covers no other tag, or else in it. */
    private fun tag(box: Box, frame: RectF, others: List<Tag>): Tag {
        val score = String.format(Locale.ROOT, " %.0f%%", 100 * box.score)
        val room = minOf(width.toFloat(), maxOf(frame.width(), width / 2f)) - 2 * ink.dp(5) - letters.measureText(score)
        val words = shortened(names.getOrNull(box.label) ?: "${box.label}", room) + score
        val high = letters.fontMetrics.run { descent - ascent } + 2 * ink.dp(1)
        val wide = letters.measureText(words) + 2 * ink.dp(5)
        val edge = ink.dp(3) / 2 // half of the frame's line
        val left = (frame.left - edge).coerceIn(0f, maxOf(0f, width - wide))
        val places = listOf(frame.top - high + edge, frame.top - edge, frame.bottom - edge, frame.bottom - high + edge)
            .map { top -> RectF(left, top, left + wide, top + high) }
        val place = places.firstOrNull { it.top >= 0 && it.bottom <= height && others.none { tag -> RectF.intersects(tag.place, it) } }
            ?: RectF(places[1]).apply { offset(0f, top.coerceIn(0f, maxOf(0f, this@BoxesView.height - high)) - top) }
        return Tag(place, words)
    }

    /** As much of a name as there is room for. */
    private fun shortened(name: String, room: Float): String {
        if (letters.measureText(name) <= room) return name
        val fits = letters.breakText(name, true, maxOf(0f, room - letters.measureText("…")), null)
        return name.take(fits).trimEnd() + "…"
    }
}
