// Mean average precision of boxes as COCO's program pycocotools computes it, number for number, for boxes of any size.

package kerasmobilenets.core

private const val MOST = 100 // boxes of a class in an image that count
private const val EPSILON = 2.220446049250313e-16
private val THRESHOLDS = List(10) { 0.5 + it * (0.45 / 9) }
private val RECALLS = List(101) { it * 0.01 }

/** Over IoU 0.5, 0.55 to 0.95, and at 0.5 alone; 0..1. */
data class BoxPrecision(val map: Double, val map50: Double)

/**
 * @param found Of each image, what a detector says.
 * @param truth Of each image, what is there.
 * @return The means over the classes that have a box to be found; null where none has.
 */
fun boxPrecision(found: List<List<Box>>, truth: List<List<TrueBox>>): BoxPrecision? {
    val labels = truth.flatten().filter { it.isJudged }.map { it.box.label }.distinct().sorted()
    val byLabel = labels.map { label ->
        val matches = found.indices.map { i ->
            match(found[i].filter { it.label == label }, truth[i].filter { it.box.label == label })
        }
        val there = truth.flatten().count { it.isJudged && it.box.label == label }
        THRESHOLDS.indices.map { threshold -> averagePrecision(matches.map { it[threshold] }.flatten(), there) }
    }
    if (byLabel.isEmpty()) return null
    return BoxPrecision(byLabel.flatten().average(), byLabel.map { it[0] }.average())
}

/** A found box: null for `isHit` where it lies on one that is not judged. */
private class Match(val score: Float, val isHit: Boolean?)

/** The matches of one class in one image, at each threshold: the surest box takes the one that it overlaps most. */
private fun match(found: List<Box>, truth: List<TrueBox>): List<List<Match>> {
    val ranked = found.sortedByDescending { it.score }.take(MOST)
    val (judged, others) = truth.partition { it.isJudged }
    return THRESHOLDS.map { threshold ->
        val free = judged.toMutableList()
        ranked.map { box ->
            val nearest = nearest(box, free).takeIf { it != null && overlap(box, it.box) >= threshold }
            if (nearest != null) free.remove(nearest)
            val isOver = nearest == null && others.any { box.area > 0 && shared(box, it.box) / box.area >= threshold }
            Match(box.score, if (isOver) null else nearest != null)
        }
    }
}

/** The one that a box overlaps most, and of several the last. */
private fun nearest(box: Box, others: List<TrueBox>): TrueBox? =
    others.asReversed().maxByOrNull { overlap(box, it.box) }

private fun averagePrecision(matches: List<Match>, there: Int): Double {
    val judged = matches.sortedByDescending { it.score }.filter { it.isHit != null }
    var hits = 0
    val recall = DoubleArray(judged.size)
    val precision = DoubleArray(judged.size)
    judged.forEachIndexed { place, match ->
        if (match.isHit == true) hits++
        recall[place] = hits / there.toDouble()
        precision[place] = hits / (place + 1 + EPSILON)
    }
    for (place in judged.size - 1 downTo 1) precision[place - 1] = maxOf(precision[place - 1], precision[place])
    var place = 0
    return RECALLS.sumOf { wanted ->
        while (place < judged.size && recall[place] < wanted) place++
        if (place < judged.size) precision[place] else 0.0
    } / RECALLS.size
}
