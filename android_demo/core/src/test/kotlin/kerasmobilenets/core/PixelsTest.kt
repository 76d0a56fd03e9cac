package kerasmobilenets.core

import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Test

class PixelsTest {
    @Test
    fun `a float input runs from minus one to one`() {
        val spec = TensorSpec(listOf(1, 1, 1, 3), "float32", 0f, 0)
        val buffer = ByteBuffer.allocateDirect(12).order(ByteOrder.nativeOrder())
        writePixels(byteArrayOf(99, 0, 127, -1), 1, spec, buffer)
        assertEquals(listOf(-1f, -0.0039215684f, 1f), List(3) { buffer.getFloat() })
    }

    @Test
    fun `channels have means of their own`() {
        val mean = listOf(123.675f, 116.28f, 103.53f)
        val spec = TensorSpec(listOf(1, 1, 1, 3), "float32", 0f, 0, mean, listOf(58.395f, 57.12f, 57.375f))
        val buffer = ByteBuffer.allocateDirect(12).order(ByteOrder.nativeOrder())
        writePixels(byteArrayOf(0, 127, -1), 0, spec, buffer)
        listOf(-2.117904f, 0.1876751f, 2.64f).forEach { assertEquals(it, buffer.getFloat(), 1e-6f) }
    }
}
