// Pixels to a model's input and outputs to scores: the phone's side of keras_mobilenets/pixels, number for number.

package kerasmobilenets.core

import java.nio.ByteBuffer
import kotlin.math.abs

/**
 * Writes pixels (bytes of 0..255, RGB, row by row) into an input buffer, which is rewound before and after.
 *
 * A float input gets (pixel − mean) / std. Where one step of an integer input is one step of a pixel of −1 to 1, as the
 * converter of keras_mobilenets writes it, pixels pass through; otherwise they are scaled and rounded half to even.
 */
fun writePixels(pixels: ByteArray, offset: Int, spec: TensorSpec, into: ByteBuffer) {
    into.rewind()
    val tables = List(spec.mean.size) { inputTable(spec, it) }
    if (spec.dtype == "float32") {
        for (i in 0 until spec.elements) into.putFloat(tables[i % tables.size][pixels[offset + i].toInt() and 255])
    } else {
        val bytes = tables.map { table -> ByteArray(256) { table[it].toInt().toByte() } }
        for (i in 0 until spec.elements) into.put(bytes[i % bytes.size][pixels[offset + i].toInt() and 255])
    }
    into.rewind()
}

/** What each of the 256 pixel values is in a channel of the input tensor. */
fun inputTable(spec: TensorSpec, channel: Int = 0): FloatArray {
    val (mean, std) = spec.mean[channel] to spec.std[channel]
    val lowest = if (spec.dtype == "int8") -128 else 0
    val passesThrough = abs(spec.scale * 127.5 - 1) < 0.01 && spec.zeroPoint - lowest in 127..128
    return FloatArray(256) { pixel ->
        val scaled = if (spec.mean == spec.std) pixel / std - 1f else (pixel - mean) / std
        when {
            spec.dtype == "float32" -> scaled
            spec.scale == 0f -> pixel.toFloat() // an input of uint8 pixels
            passesThrough -> (Math.rint((scaled + 1f) * 127.5f.toDouble()).toInt().coerceIn(0, 255) + lowest).toFloat()
            else -> (Math.rint((scaled / spec.scale).toDouble()).toInt() + spec.zeroPoint)
                .coerceIn(lowest, lowest + 255).toFloat()
        }
    }
}

/** Outputs as floats: (q − zero point) · scale for an integer tensor. */
fun readScores(output: ByteBuffer, spec: TensorSpec): FloatArray {
    output.rewind()
    return FloatArray(spec.elements) {
        when (spec.dtype) {
            "float32" -> output.getFloat()
            "int8" -> (output.get() - spec.zeroPoint) * spec.scale
            else -> ((output.get().toInt() and 255) - spec.zeroPoint) * spec.scale
        }
    }
}

/** The classes with the highest scores, best first; equal scores in the order of the classes. */
fun best(scores: FloatArray, count: Int): List<Int> = scores.indices.sortedByDescending { scores[it] }.take(count)
