// Where a picture stands in the view that shows it, how far it is turned, and in which colour a class is drawn on it.

package kerasmobilenets.core

import kotlin.math.abs
import kotlin.math.floor

/** A rectangle in a view's pixels. */
data class Place(val left: Float, val top: Float, val right: Float, val bottom: Float)

/**
 * A picture as large as the view takes it, in the view's middle.
 *
 * @param isMirrored Whether it is shown as a mirror shows it, which the camera's frames never are.
 */
class Placement(viewWidth: Int, viewHeight: Int, width: Int, height: Int, private val isMirrored: Boolean = false) {
    private val scale = minOf(viewWidth / width.toFloat(), viewHeight / height.toFloat())
    private val across = scale * width
    private val down = scale * height
    private val left = (viewWidth - across) / 2
    private val top = (viewHeight - down) / 2

    /** A box of the picture. */
    fun of(box: Box): Place {
        val (west, east) = if (isMirrored) 1 - box.right to 1 - box.left else box.left to box.right
        return Place(left + west * across, top + box.top * down, left + east * across, top + box.bottom * down)
    }
}

/** How far a camera's frame must be turned clockwise to stand as the screen does: 0, 90, 180 or 270. */
fun turn(sensorDegrees: Int, screenDegrees: Int, isFront: Boolean): Int =
    (sensorDegrees + (if (isFront) screenDegrees else -screenDegrees) + 360) % 360

/** A class's colour as 0xFFRRGGBB, light enough for black letters; neighbouring numbers are far apart in hue. */
fun boxColor(label: Int): Int {
    val hue = (0.13 + label * 0.618034).let { it - floor(it) } * 6
    val second = 1 - abs(hue % 2 - 1)
    val (red, green, blue) = when (hue.toInt()) {
        0 -> Triple(1.0, second, 0.0)
        1 -> Triple(second, 1.0, 0.0)
        2 -> Triple(0.0, 1.0, second)
        3 -> Triple(0.0, second, 1.0)
        4 -> Triple(second, 0.0, 1.0)
        else -> Triple(1.0, 0.0, second)
    }
    fun part(share: Double) = (255 * (0.42 + 0.58 * share)).toInt()
    return (0xFF shl 24) or (part(red) shl 16) or (part(green) shl 8) or part(blue)
}
