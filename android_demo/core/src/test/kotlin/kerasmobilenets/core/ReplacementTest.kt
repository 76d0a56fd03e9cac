package kerasmobilenets.core

import java.io.File
import java.io.IOException
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Assumptions.assumeTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

class ReplacementTest {
    @Test
    fun `a file is replaced as a whole`(@TempDir folder: File) {
        val file = File(folder, "results.json").apply { writeText("old") }
        replace(file, "new".toByteArray())
        assertEquals("new", file.readText())
        assertEquals(listOf("results.json"), folder.list()!!.toList())
    }

    @Test
    fun `a full disk is told and leaves the old file`(@TempDir folder: File) {
        val full = File("/dev/full")
        assumeTrue(full.exists()) // Linux gives "no space left" to whoever writes there
        val file = File(folder, "results.json").apply { writeText("old") }
        java.nio.file.Files.createSymbolicLink(File(folder, "results.json.part").toPath(), full.toPath())
        val error = assertThrows(IOException::class.java) { replace(file, ByteArray(9)) }
        assertTrue("No space left" in error.message!!, error.message)
        assertEquals("old", file.readText())
        assertEquals(listOf("results.json"), folder.list()!!.toList())
    }
}
