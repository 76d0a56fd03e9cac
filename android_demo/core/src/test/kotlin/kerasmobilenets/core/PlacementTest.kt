package kerasmobilenets.core

import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNotEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class PlacementTest {
    @Test
    fun `a picture stands in the middle of its view, as large as it takes it`() {
        val whole = Box(0f, 0f, 1f, 1f, 0, 1f)
        assertEquals(Place(0f, 50f, 300f, 450f), Placement(300, 500, 480, 640).of(whole))
        assertEquals(Place(100f, 0f, 500f, 300f), Placement(600, 300, 640, 480).of(whole))
        assertEquals(Place(75f, 150f, 150f, 450f), Placement(300, 500, 480, 640).of(Box(0.25f, 0.25f, 1f, 0.5f, 0, 1f)))
        assertEquals(Place(150f, 150f, 225f, 450f), Placement(300, 500, 480, 640, isMirrored = true).of(Box(0.25f, 0.25f, 1f, 0.5f, 0, 1f)))
    }

    @Test
    fun `what a sensor sees is found where the screen shows it, however both are turned`() {
        // A red block on a sensor of 80×60; the model sees it upright, at 60×60 or 60×80, and its box leads back to it.
        val block = ArgbFrame(80, 60, IntArray(80 * 60) { if (it % 80 in 8 until 24 && it / 80 in 30 until 48) 0xFF0000 else 0 })
        val upright = mapOf( // the same block in shares of the upright picture: top, left, bottom, right
            0 to listOf(30 / 60f, 8 / 80f, 48 / 60f, 24 / 80f),
            90 to listOf(8 / 80f, 12 / 60f, 24 / 80f, 30 / 60f),
            180 to listOf(12 / 60f, 56 / 80f, 30 / 60f, 72 / 80f),
            270 to listOf(56 / 80f, 30 / 60f, 72 / 80f, 48 / 60f),
        )
        for ((degrees, edges) in upright) for ((height, width) in listOf(60 to 60, 120 to 240)) {
            val pixels = wholeOf(block, degrees, height, width)
            val red = (0 until height * width).filter { pixels[3 * it] < 0 }
            val (rows, columns) = red.map { it / width } to red.map { it % width }
            val seen = Box(rows.min() / height.toFloat(), columns.min() / width.toFloat(), (rows.max() + 1) / height.toFloat(), (columns.max() + 1) / width.toFloat(), 0, 1f)
            val (shownWidth, shownHeight) = if (degrees % 180 == 0) 80 to 60 else 60 to 80
            val place = Placement(1000, 1000, shownWidth, shownHeight).of(seen)
            val scale = 1000 / 80f
            val (left, top) = (1000 - scale * shownWidth) / 2 to (1000 - scale * shownHeight) / 2
            val expected = Place(left + edges[1] * shownWidth * scale, top + edges[0] * shownHeight * scale, left + edges[3] * shownWidth * scale, top + edges[2] * shownHeight * scale)
            val pixel = 1000f / 60 // of the model's input on the screen
            for ((a, b) in listOf(place.left to expected.left, place.top to expected.top, place.right to expected.right, place.bottom to expected.bottom)) {
                assertEquals(b, a, pixel, "$degrees $height×$width $place $expected")
            }
        }
    }

    @Test
    fun `frames are turned as CameraCharacteristics says, the front camera's the other way`() {
        assertEquals(listOf(90, 0, 270, 180), listOf(0, 90, 180, 270).map { turn(90, it, isFront = false) })
        assertEquals(listOf(270, 0, 90, 180), listOf(0, 90, 180, 270).map { turn(270, it, isFront = true) })
    }

    @Test
    fun `black letters are read on every class's colour, and neighbours differ`() {
        fun luminance(color: Int) = listOf(16 to 0.2126, 8 to 0.7152, 0 to 0.0722).sumOf { (shift, weight) -> // WCAG 2.1
            val share = (color shr shift and 255) / 255.0
            weight * if (share <= 0.03928) share / 12.92 else Math.pow((share + 0.055) / 1.055, 2.4)
        }
        for (label in 0 until 100) {
            assertTrue((luminance(boxColor(label)) + 0.05) / 0.05 >= 4.5, "class $label")
            assertEquals(255, boxColor(label) ushr 24)
            assertNotEquals(boxColor(label), boxColor(label + 1))
        }
        assertEquals(20, (0 until 20).map(::boxColor).distinct().size)
    }
}
