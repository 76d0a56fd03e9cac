package kerasmobilenets.core

import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Test

class AttributesTest {
    @Test
    fun `labels that are there come with the surest first`() {
        assertEquals(listOf(2, 0, 3), present(floatArrayOf(0.5f, 0.49f, 0.9f, 0.5f)))
        assertEquals(emptyList<Int>(), present(floatArrayOf(0.1f, 0.2f)))
    }

    @Test
    fun `average precision is that of scikit-learn's documented example, ties are found together`() {
        val scores = listOf(0.1f to 0.5f, 0.4f to 0.5f, 0.35f to 0.5f, 0.8f to 0.5f).map { (a, b) -> floatArrayOf(a, b, 0f) }
        val truth = listOf(emptySet(), setOf(1), setOf(0), setOf(0))
        assertEquals((1 / 2.0 + 1 / 3.0 + 1 / 4.0) / 2, meanAveragePrecision(scores, truth)!!, 1e-12)
        assertEquals(null, meanAveragePrecision(scores, List(4) { emptySet() }))
    }
}
