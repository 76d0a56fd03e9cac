package kerasmobilenets.core

import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class BoxesTest {
    /** M = 2. */
    private val answer = floatArrayOf(0f, 0.25f, 0.5f, 0.75f, 0.1f, 0.2f, 0.3f, 0.4f, 2f, 1f, 0.5f, 0.9f, 2f)
    private val box = Box(0f, 0.25f, 0.5f, 0.75f, 2, 0.5f)

    @Test
    fun `a detector's answer is its boxes, as many as it says`() {
        assertEquals(listOf(box, Box(0.1f, 0.2f, 0.3f, 0.4f, 1, 0.9f)), boxes(answer))
        assertEquals(1, boxes(answer.copyOf().also { it[12] = 1f }).size)
        assertEquals(2, boxes(answer.copyOf().also { it[12] = 9f }).size) // no more than there is room for
    }

    @Test
    fun `what is shown has a score of a half or more, the surest first`() {
        assertEquals(listOf(1, 2), shown(answer).map { it.label })
        assertEquals(listOf(1), shown(answer.copyOf().also { it[10] = 0.49f }).map { it.label })
    }

    @Test
    fun `the screen names classes, labels that are there, or what boxes hold`() {
        val scores = floatArrayOf(0.1f, 0.6f, 0.4f, 0.7f)
        assertEquals(listOf(3, 1, 2), said(Task.CLASSIFICATION, scores).map { it.label })
        assertEquals(listOf(3, 1), said(Task.ATTRIBUTES, scores).map { it.label })
        assertEquals(emptyList<Said>(), said(Task.ATTRIBUTES, floatArrayOf(0.4f)))
        val twice = floatArrayOf(0f, 0f, 1f, 1f, 0f, 0f, 0.5f, 0.5f, 0f, 0f, 0.2f, 0.2f, 4f, 4f, 4f, 0.6f, 0.8f, 0.2f, 3f)
        assertEquals(listOf(Said(4, listOf(0.8f, 0.6f))), said(Task.DETECTION, twice))
    }

    @Test
    fun `boxes overlap by what they share of both`() {
        assertEquals(1.0, overlap(box, box))
        assertEquals(1 / 3.0, overlap(box, box.copy(left = 0.5f, right = 1f)), 1e-9)
        assertEquals(0.0, overlap(box, box.copy(top = 0.5f, bottom = 1f)))
        assertEquals(0.0, overlap(box.copy(bottom = 0f), box.copy(bottom = 0f)))
    }

    @Test
    fun `answers are as far apart as scores by rank, edges of what is shown, and boxes that one lacks`() {
        val weak = Box(0.1f, 0.1f, 0.9f, 0.9f, 0, 0.2f)
        assertEquals(0f, difference(listOf(box, weak), listOf(box, weak)))
        assertEquals(0.1f, difference(listOf(box), listOf(box.copy(score = 0.6f))), 1e-6f)
        assertEquals(0.05f, difference(listOf(box), listOf(box.copy(left = 0.3f))), 1e-6f)
        assertEquals(0f, difference(listOf(weak), listOf(weak.copy(left = 0.3f)))) // it is not shown
        assertEquals(0.5f, difference(listOf(box), listOf(box.copy(label = 1))), 1e-6f)
        assertEquals(0.5f, difference(emptyList(), listOf(box)), 1e-6f)
        assertTrue(difference(listOf(box.copy(score = Float.NaN)), listOf(box)).isNaN())
    }
}
