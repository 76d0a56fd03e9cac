// Several labels an image, each there or not: what a model says of them, and how right it is; number for number as
// training/evaluation/precision_recall.py.

package kerasmobilenets.core

/** Score from which on an image is said to have a label. */
const val PRESENT = 0.5f

/** The labels that are there, the surest first; equal scores in the order of the labels. */
fun present(scores: FloatArray): List<Int> = best(scores, scores.size).filter { scores[it] >= PRESENT }

/**
 * Mean average precision: the area under the steps of each label's precision–recall curve, without interpolation.
 *
 * @param scores Of each image, one score for each label.
 * @param truth Of each image, the labels that it has.
 * @return The mean over the labels that some image has, 0..1; null where there is none.
 */
fun meanAveragePrecision(scores: List<FloatArray>, truth: List<Set<Int>>): Double? =
    truth.flatten().distinct().sorted().map { averagePrecision(scores, truth, it) }.ifEmpty { null }?.average()

private fun averagePrecision(scores: List<FloatArray>, truth: List<Set<Int>>, label: Int): Double {
    val order = scores.indices.sortedByDescending { scores[it][label] }
    val there = truth.count { label in it }
    var hits = 0
    var before = 0
    var area = 0.0
    for ((place, image) in order.withIndex()) {
        if (label in truth[image]) hits++
        val isLast = place == order.lastIndex || scores[order[place + 1]][label] != scores[image][label]
        if (!isLast) continue // images of one score are found together
        area += (hits - before) / there.toDouble() * (hits / (place + 1.0))
        before = hits
    }
    return area
}
