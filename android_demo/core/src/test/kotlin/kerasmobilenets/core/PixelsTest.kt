package kerasmobilenets.core

import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Test

class PixelsTest {
    private val some = listOf(0, 1, 64, 127, 128, 200, 254, 255)

    private fun table(dtype: String, scale: Float, zeroPoint: Int) =
        inputTable(TensorSpec(listOf(1, 1, 1, 3), dtype, scale, zeroPoint)).let { all -> some.map { all[it].toInt() } }

    // Expected: keras_mobilenets.pixels.batches.to_input of the same pixels.
    @Test
    fun `integer inputs are those of the Python side`() {
        assertEquals(listOf(-128, -127, -64, -1, 0, 72, 126, 127), table("int8", 0.007843138f, -1))
        assertEquals(listOf(-128, -127, -64, -1, 0, 72, 126, 127), table("int8", 0.007843138f, 0))
        assertEquals(listOf(-45, -45, -20, 5, 5, 33, 55, 55), table("int8", 0.02f, 5))
        assertEquals(listOf(0, 1, 64, 127, 128, 200, 254, 255), table("uint8", 0.007843138f, 127))
        assertEquals(listOf(28, 29, 78, 128, 128, 185, 227, 228), table("uint8", 0.01f, 128))
    }

    @Test
    fun `a float input runs from minus one to one`() {
        val spec = TensorSpec(listOf(1, 1, 1, 3), "float32", 0f, 0)
        val buffer = ByteBuffer.allocateDirect(12).order(ByteOrder.nativeOrder())
        writePixels(byteArrayOf(99, 0, 127, -1), 1, spec, buffer)
        assertEquals(listOf(-1f, -0.0039215684f, 1f), List(3) { buffer.getFloat() })
    }

    // Expected: keras_mobilenets.pixels.batches.to_input of the same pixels.
    @Test
    fun `pixels mean what the manifest says`() {
        fun int8(scale: Float, zeroPoint: Int, mean: Float, std: Float) =
            inputTable(TensorSpec(listOf(1, 1, 1, 3), "int8", scale, zeroPoint, listOf(mean), listOf(std)))
                .let { all -> some.map { all[it].toInt() } }
        assertEquals(some.map { it - 128 }, int8(0.003921569f, -128, 0f, 255f))
        assertEquals(some.map { it - 128 }, int8(1f, -128, 0f, 1f))
        val mean = listOf(123.675f, 116.28f, 103.53f)
        val spec = TensorSpec(listOf(1, 1, 1, 3), "float32", 0f, 0, mean, listOf(58.395f, 57.12f, 57.375f))
        val buffer = ByteBuffer.allocateDirect(12).order(ByteOrder.nativeOrder())
        writePixels(byteArrayOf(0, 127, -1), 0, spec, buffer)
        listOf(-2.117904f, 0.1876751f, 2.64f).forEach { assertEquals(it, buffer.getFloat(), 1e-6f) }
    }

    @Test
    fun `scores are dequantized`() {
        val bytes = ByteBuffer.wrap(byteArrayOf(-128, 0, 127))
        assertEquals(listOf(0f, 0.5f, 255 / 256f), readScores(bytes, TensorSpec(listOf(1, 3), "int8", 1 / 256f, -128)).toList())
        assertEquals(listOf(64f, 0f, 63.5f), readScores(bytes, TensorSpec(listOf(1, 3), "uint8", 0.5f, 0)).toList())
    }

    @Test
    fun `equal scores count in the order of the classes`() {
        assertEquals(listOf(1, 2, 0), best(floatArrayOf(0.1f, 0.4f, 0.4f, 0f), 3))
    }
}
