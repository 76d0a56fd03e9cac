// Files are replaced as a whole.

package kerasmobilenets.core

import java.io.File
import java.io.IOException

/**
 * Writes a file. Either the old content or the new one is there afterwards, whatever happens.
 *
 * @throws IOException It could not be written, such as on a full disk; nothing is left of it.
 */
fun replace(file: File, content: ByteArray) {
    val whole = File("${file.path}.part")
    try {
        whole.writeBytes(content)
        if (!whole.renameTo(file)) throw IOException("${file.name} could not be replaced")
    } catch (error: IOException) {
        whole.delete()
        throw error
    }
}
