package kerasmobilenets.core

import org.json.JSONArray
import org.json.JSONObject
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class BundleTest {
    private fun refusal(change: FakeBundle.() -> Unit): String =
        assertThrows(BundleError::class.java) { FakeBundle().apply(change).open() }.message!!

    @Test
    fun `a whole bundle opens`() {
        val bundle = FakeBundle().open()
        val model = bundle.model("m")
        assertEquals("fake", bundle.name)
        assertEquals(listOf("a", "b", "c"), bundle.labels(model))
        assertEquals(listOf(1, 2), model.images.labels)
        assertEquals(12, model.input.elements)
    }

    @Test
    fun `SHA-256 is that of the standard`() { // FIPS 180-2, appendix B.1
        assertEquals("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", sha256("abc".toByteArray()))
    }

    @Test
    fun `a file that differs from the manifest is refused when it is read`() {
        val fake = FakeBundle()
        val bundle = fake.open()
        fake.contents["labels.txt"] = "a\nb\nd\n".toByteArray()
        val error = assertThrows(BundleError::class.java) { bundle.labels(bundle.model("m")) }
        assertTrue("labels.txt" in error.message!! && "SHA-256" in error.message!!)
    }

    @Test
    fun `what is wrong with a manifest is said in one line`() {
        assertTrue("format 2" in refusal { manifest.put("schema_version", 2) })
        assertTrue("damaged" in refusal { manifest.remove("models") })
        assertTrue("no model" in refusal { manifest.put("models", JSONArray()) })
        assertTrue("same name" in refusal { manifest.getJSONArray("models").put(model("m")) })
        assertTrue("out.bin has no SHA-256" in refusal { manifest.getJSONObject("files").remove("out.bin") })
        assertTrue("images are" in refusal { manifest.getJSONArray("images").getJSONObject(0).put("height", 3) })
        assertTrue("1 labels" in refusal { manifest.getJSONArray("images").getJSONObject(0).put("labels", JSONArray("[1]")) })
        assertTrue("models for boxes are unknown" in refusal { first().put("task", "boxes") })
        assertTrue("its first output is float32 [1, 3]" in refusal { first().put("task", "detection") })
        assertTrue("int64" in refusal { first().getJSONObject("input").put("dtype", "int64") })
        assertTrue("not in the bundle" in refusal { first().put("images", "other.bin") })
    }

    @Test
    fun `boxes of images are told from labels, and crowds from what is judged`() {
        fun images(labels: String) = FakeBundle().apply {
            manifest.getJSONArray("images").getJSONObject(0).put("labels", JSONArray(labels))
        }.open().models[0].images
        val boxes = images("[[], [[0.25, 0, 1, 0.5, 2, 0], [0, 0, 1, 1, 0, 1]]]").boxes
        assertEquals(listOf(0, 2), boxes.map { it.size })
        assertEquals(listOf(TrueBox(Box(0.25f, 0f, 1f, 0.5f, 2, 1f), true), TrueBox(Box(0f, 0f, 1f, 1f, 0, 1f), false)), boxes[1])
        assertEquals(listOf(emptySet<Int>(), setOf(1, 2)), images("[[], [1, 2]]").attributes)
    }

    private fun FakeBundle.first(): JSONObject = manifest.getJSONArray("models").getJSONObject(0)

    @Test
    fun `a file that is gone is told in one line`() {
        val fake = FakeBundle()
        val bundle = fake.open()
        fake.contents.remove("labels.txt")
        val error = assertThrows(BundleError::class.java) { bundle.labels(bundle.model("m")) }
        assertEquals("labels.txt cannot be read, which the manifest names; make the bundle again", error.message)
    }

    @Test
    fun `a folder without a manifest is no bundle`() {
        val error = assertThrows(BundleError::class.java) { Bundle.open(Files { throw java.io.FileNotFoundException(it) }) }
        assertTrue("manifest.json is missing" in error.message!!)
    }
}
