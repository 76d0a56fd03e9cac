// A picture from the camera or the gallery as a model takes it: its middle square or all of it, upright, without aliasing.

package kerasmobilenets.core

/** Gives the red, green and blue of a pixel of an upright or rotated picture as 0xRRGGBB. */
interface Frame {
    val width: Int
    val height: Int
    fun rgb(x: Int, y: Int): Int
}

/** Pixels as Android's Bitmap.getPixels gives them. */
class ArgbFrame(override val width: Int, override val height: Int, private val pixels: IntArray) : Frame {
    override fun rgb(x: Int, y: Int) = pixels[y * width + x] and 0xFFFFFF
}

/** One plane of a YUV_420_888 image: bytes with the strides between rows and between pixels. */
class Plane(val bytes: ByteArray, val rowStride: Int, val pixelStride: Int) {
    fun at(x: Int, y: Int) = bytes[y * rowStride + x * pixelStride].toInt() and 255
}

/** A YUV_420_888 picture in full-range BT.601, as Android's cameras give it. */
class YuvFrame(
    override val width: Int,
    override val height: Int,
    private val y: Plane,
    private val u: Plane,
    private val v: Plane,
) : Frame {
    override fun rgb(x: Int, y: Int): Int {
        val luma = this.y.at(x, y)
        val cb = u.at(x / 2, y / 2) - 128
        val cr = v.at(x / 2, y / 2) - 128
        val red = luma + 1.402f * cr
        val green = luma - 0.344136f * cb - 0.714136f * cr
        val blue = luma + 1.772f * cb
        return (byte(red) shl 16) or (byte(green) shl 8) or byte(blue)
    }

    private fun byte(value: Float) = (value + 0.5f).toInt().coerceIn(0, 255)
}

/**
 * The middle square of a picture at a model's size, as classifiers are trained.
 *
 * @param degrees How far the picture must be turned clockwise to stand upright: 0, 90, 180 or 270.
 * @param size Height and width of the result.
 * @return size×size×3 bytes, RGB; each is the mean of at most 4×4 evenly spread pixels of the area it stands for.
 */
fun squareOf(frame: Frame, degrees: Int, size: Int): ByteArray {
    val side = minOf(frame.width, frame.height)
    return sampled(frame, (frame.width - side) / 2, (frame.height - side) / 2, side, side, degrees, size, size)
}

/** The whole picture, stretched to height×width×3 bytes, as detectors are trained: no box at its edge is lost. */
fun wholeOf(frame: Frame, degrees: Int, height: Int, width: Int): ByteArray =
    sampled(frame, 0, 0, frame.width, frame.height, degrees, height, width)

private fun sampled(
    frame: Frame, left: Int, top: Int, wide: Int, high: Int, degrees: Int, height: Int, width: Int,
): ByteArray {
    val (uprightWide, uprightHigh) = if (degrees % 180 == 0) wide to high else high to wide
    val (tapsDown, tapsAcross) = (uprightHigh / height).coerceIn(1, 4) to (uprightWide / width).coerceIn(1, 4)
    val pixels = ByteArray(height * width * 3)
    for (row in 0 until height) for (column in 0 until width) {
        var red = 0
        var green = 0
        var blue = 0
        for (i in 0 until tapsDown) for (j in 0 until tapsAcross) {
            // Centres of the taps in the upright area, in 2·taps·size-ths of its sides.
            val up = (((row * tapsDown + i) * 2L + 1) * uprightHigh / (2L * tapsDown * height)).toInt()
            val across = (((column * tapsAcross + j) * 2L + 1) * uprightWide / (2L * tapsAcross * width)).toInt()
            val x = when (degrees) { 90 -> up; 180 -> wide - 1 - across; 270 -> wide - 1 - up; else -> across }
            val y = when (degrees) { 90 -> high - 1 - across; 180 -> high - 1 - up; 270 -> across; else -> up }
            val rgb = frame.rgb(left + x, top + y)
            red += rgb shr 16 and 255
            green += rgb shr 8 and 255
            blue += rgb and 255
        }
        val count = tapsDown * tapsAcross
        val at = (row * width + column) * 3
        pixels[at] = ((red + count / 2) / count).toByte()
        pixels[at + 1] = ((green + count / 2) / count).toByte()
        pixels[at + 2] = ((blue + count / 2) / count).toByte()
    }
    return pixels
}
