// Pixels to a model's input and outputs to scores: the phone's side of keras_mobilenets/images.py, number for number.

package kerasmobilenets.core

import java.nio.ByteBuffer
import kotlin.math.abs

/**
 * Writes pixels (bytes of 0..255, RGB, row by row) into an input buffer, which is rewound before and after.
 *
 * A float input gets x / 127.5 − 1. Where one step of an integer input is one step of a pixel, as the converter of
 * keras_mobilenets writes it, pixels pass through; otherwise they are scaled and rounded half to even.
 */
fun writePixels(pixels: ByteArray, offset: Int, spec: TensorSpec, into: ByteBuffer) {
    into.rewind()
    val table = inputTable(spec)
    if (spec.dtype == "float32") {
        for (i in 0 until spec.elements) into.putFloat(table[pixels[offset + i].toInt() and 255])
    } else {
        val bytes = ByteArray(256) { table[it].toInt().toByte() }
        for (i in 0 until spec.elements) into.put(bytes[pixels[offset + i].toInt() and 255])
    }
    into.rewind()
}

/** What each of the 256 pixel values is in the input tensor. */
fun inputTable(spec: TensorSpec): FloatArray {
    val lowest = if (spec.dtype == "int8") -128 else 0
    val passesThrough = abs(spec.scale * 127.5 - 1) < 0.01 && spec.zeroPoint - lowest in 127..128
    return FloatArray(256) { pixel ->
        val scaled = pixel / 127.5f - 1f
        when {
            spec.dtype == "float32" -> scaled
            passesThrough -> (pixel + lowest).toFloat()
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
