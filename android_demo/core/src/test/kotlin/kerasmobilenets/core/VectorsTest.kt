package kerasmobilenets.core

import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.json.JSONArray
import org.json.JSONObject
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Test

/** Statistics and correctness by the vectors that the Python side and the web page answer too. */
class VectorsTest {
    private val vectors = JSONObject(File("../../tests/tflite/vectors.json").readText())

    private fun all(name: String) = vectors.getJSONArray(name).objects()

    private fun JSONArray.doubles() = List(length()) { getDouble(it) }

    private fun spec(json: JSONObject) = TensorSpec(
        listOf(1, 3), json.getString("dtype"), json.getDouble("scale").toFloat(), json.getInt("zero_point"),
        json.floats("mean") ?: listOf(127.5f), json.floats("std") ?: listOf(127.5f),
    )

    @Test
    fun `durations have these sums`() {
        for (vector in all("statistics")) {
            val durations = vector.getJSONArray("nanoseconds").doubles().map { it.toLong() }.toLongArray()
            val figures = vector.getJSONObject("figures")
            assertEquals(figures.keyNames().associateWith(figures::getDouble), statistics(durations))
            assertEquals(vector.real("drift"), drift(durations))
        }
    }

    @Test
    fun `pixels become these values`() {
        for (vector in all("inputs")) {
            val pixels = vector.getJSONArray("pixels").ints()
            val values = vector.getJSONArray("values")
            for (channel in 0 until values.length()) {
                val table = inputTable(spec(vector.getJSONObject("spec")), channel)
                values.getJSONArray(channel).doubles().zip(pixels) { expected, pixel ->
                    assertEquals(expected, table[pixel].toDouble(), 1e-6)
                }
            }
        }
    }

    @Test
    fun `scores are dequantized`() {
        for (vector in all("scores")) {
            val spec = spec(vector.getJSONObject("spec"))
            val bytes = ByteBuffer.allocate(12).order(ByteOrder.nativeOrder())
            for (value in vector.getJSONArray("stored").doubles()) {
                if (spec.dtype == "float32") bytes.putFloat(value.toFloat()) else bytes.put(value.toInt().toByte())
            }
            assertEquals(vector.getJSONArray("values").doubles(), readScores(bytes, spec).map { it.toDouble() })
        }
    }

    @Test
    fun `equal scores count in the order of the classes`() {
        for (vector in all("best")) {
            val scores = vector.floats("scores")!!.toFloatArray()
            assertEquals(vector.getJSONArray("order").ints(), best(scores, scores.size))
        }
    }

    @Test
    fun `boxes have the precision that pycocotools computes`() {
        for (vector in all("boxes")) {
            fun rows(name: String) = vector.getJSONArray(name).let { images ->
                List(images.length()) { i -> images.getJSONArray(i).let { rows -> List(rows.length()) { rows.getJSONArray(it).doubles() } } }
            }
            fun box(row: List<Double>, score: Double) =
                Box(row[0].toFloat(), row[1].toFloat(), row[2].toFloat(), row[3].toFloat(), row[4].toInt(), score.toFloat())
            val found = rows("found").map { image -> image.map { box(it, it[5]) } }
            val truth = rows("truth").map { image -> image.map { TrueBox(box(it, 1.0), isJudged = it[5] == 0.0) } }
            val precision = boxPrecision(found, truth)
            assertEquals(vector.real("map") == null, precision == null)
            vector.real("map")?.let { assertEquals(it, precision!!.map, 1e-12) }
            vector.real("map50")?.let { assertEquals(it, precision!!.map50, 1e-12) }
        }
    }
}
