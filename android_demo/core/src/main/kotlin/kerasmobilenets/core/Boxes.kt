// Boxes of a detector: what its four outputs say, how far two such answers are apart, and what the camera screen says of
// any answer.

package kerasmobilenets.core

import kotlin.math.abs

/** A box of a class with a score 0..1; its edges in shares of the picture's height and width from the upper left corner. */
data class Box(val top: Float, val left: Float, val bottom: Float, val right: Float, val label: Int, val score: Float) {
    val area: Double get() = sides(bottom.toDouble() - top, right.toDouble() - left)
}

/** A box that is there. One that is not judged is a crowd, or too difficult: to find it is neither right nor wrong. */
data class TrueBox(val box: Box, val isJudged: Boolean)

/** The boxes of a detector's outputs, one behind the other: M boxes, M classes, M scores, how many there are. */
fun boxes(answer: FloatArray): List<Box> {
    val most = (answer.size - 1) / 6
    return List(answer.last().toInt().coerceIn(0, most)) { i ->
        Box(answer[4 * i], answer[4 * i + 1], answer[4 * i + 2], answer[4 * i + 3], answer[4 * most + i].toInt(), answer[5 * most + i])
    }
}

/** The area that two boxes share. */
fun shared(one: Box, other: Box): Double = sides(
    minOf(one.bottom, other.bottom).toDouble() - maxOf(one.top, other.top),
    minOf(one.right, other.right).toDouble() - maxOf(one.left, other.left),
)

/** Intersection over union, 0..1. */
fun overlap(one: Box, other: Box): Double = shared(one, other).let { if (it == 0.0) 0.0 else it / (one.area + other.area - it) }

/**
 * How far two answers to a picture are apart, 0..1: the largest difference of scores by rank; and of the edges of a box
 * that either shows, from the box of its class that overlaps it most by half or more, or where none does its score.
 */
fun difference(one: List<Box>, other: List<Box>): Float {
    fun ranked(boxes: List<Box>) = boxes.map { it.score }.sortedDescending()
    val (first, second) = ranked(one) to ranked(other)
    val scores = List(maxOf(first.size, second.size)) { abs((first.getOrNull(it) ?: 0f) - (second.getOrNull(it) ?: 0f)) }
    return (scores + edges(one, other) + edges(other, one)).fold(0f, ::maxOf)
}

private fun edges(shown: List<Box>, others: List<Box>): List<Float> = shown.filter { it.score >= PRESENT }.map { box ->
    val twin = others.filter { it.label == box.label }.maxByOrNull { overlap(box, it) }
    if (twin == null || overlap(box, twin) < 0.5) box.score
    else maxOf(maxOf(abs(box.top - twin.top), abs(box.left - twin.left)), maxOf(abs(box.bottom - twin.bottom), abs(box.right - twin.right)))
}

/** A class that is said of a picture, with its score, or those of its boxes. */
data class Said(val label: Int, val scores: List<Float>)

/** What is said of an answer: the three best classes, the labels that are there, or the classes of the boxes that are. */
fun said(task: Task, answer: FloatArray): List<Said> = when (task) {
    Task.CLASSIFICATION -> best(answer, 3).map { Said(it, listOf(answer[it])) }
    Task.ATTRIBUTES -> present(answer).map { Said(it, listOf(answer[it])) }
    Task.DETECTION -> shown(answer).groupBy { it.label }.map { (label, found) -> Said(label, found.map { it.score }) }
}

/** The boxes to be shown, the surest first. */
fun shown(answer: FloatArray): List<Box> = boxes(answer).filter { it.score >= PRESENT }.sortedByDescending { it.score }

private fun sides(height: Double, width: Double) = maxOf(0.0, height) * maxOf(0.0, width)
