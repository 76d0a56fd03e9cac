package kerasmobilenets.core

import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Test

class FrameTest {
    /** 3 wide, 2 high; the reds are 1 2 3 / 4 5 6, and the middle square is columns 0 and 1. */
    private val small = ArgbFrame(3, 2, IntArray(6) { (it + 1) shl 16 })

    private fun reds(frame: Frame, degrees: Int, size: Int) =
        squareOf(frame, degrees, size).toList().chunked(3) { it[0].toInt() and 255 }

    @Test
    fun `a picture is turned clockwise until it stands upright`() {
        assertEquals(listOf(1, 2, 4, 5), reds(small, 0, 2))
        assertEquals(listOf(4, 1, 5, 2), reds(small, 90, 2))
        assertEquals(listOf(5, 4, 2, 1), reds(small, 180, 2))
        assertEquals(listOf(2, 5, 1, 4), reds(small, 270, 2))
    }

    @Test
    fun `the whole of a picture is turned and stretched`() {
        fun reds(degrees: Int, height: Int, width: Int) = wholeOf(small, degrees, height, width).toList().chunked(3) { it[0].toInt() and 255 }
        assertEquals(listOf(1, 2, 3, 4, 5, 6), reds(0, 2, 3))
        assertEquals(listOf(4, 1, 5, 2, 6, 3), reds(90, 3, 2))
        assertEquals(listOf(6, 5, 4, 3, 2, 1), reds(180, 2, 3))
        assertEquals(listOf(3, 6, 2, 5, 1, 4), reds(270, 3, 2))
        assertEquals(listOf(1, 1, 2, 2, 3, 3, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 4, 4, 5, 5, 6, 6), reds(0, 4, 6))
    }

    @Test
    fun `shrinking takes the mean of an area`() {
        val board = ArgbFrame(4, 4, IntArray(16) { if ((it % 4 + it / 4) % 2 == 0) 0xFFFFFF else 0 })
        assertEquals(listOf(128, 128, 128, 128), reds(board, 0, 2))
    }

    @Test
    fun `enlarging repeats pixels`() {
        assertEquals(listOf(1, 1, 2, 2, 1, 1, 2, 2, 4, 4, 5, 5, 4, 4, 5, 5), reds(small, 0, 4))
    }

    @Test
    fun `YUV becomes the RGB of JFIF`() { // full-range BT.601: red is (76, 85, 255), blue (29, 255, 107)
        fun rgb(y: Int, u: Int, v: Int): Int {
            fun plane(value: Int) = Plane(ByteArray(4) { value.toByte() }, 2, 1)
            return YuvFrame(2, 2, plane(y), plane(u), plane(v)).rgb(1, 1)
        }
        assertEquals(0xFE0000, rgb(76, 85, 255))
        assertEquals(0x0000FE, rgb(29, 255, 107))
        assertEquals(0x808080, rgb(128, 128, 128))
    }

    @Test
    fun `planes are read with their strides`() {
        val y = Plane(byteArrayOf(10, 20, 0, 30, 40), rowStride = 3, pixelStride = 1)
        val chroma = Plane(byteArrayOf(-128, 7), rowStride = 2, pixelStride = 2) // interleaved, and one byte short
        assertEquals(listOf(10, 20, 30, 40), reds(YuvFrame(2, 2, y, chroma, chroma), 0, 2))
    }
}
