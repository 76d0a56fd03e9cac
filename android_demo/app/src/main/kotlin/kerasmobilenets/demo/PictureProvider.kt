// Hands the picture that is being shared to the app it is shared with, and to no other; there is one at a time.

package kerasmobilenets.demo

import android.content.ContentProvider
import android.content.ContentValues
import android.content.Context
import android.database.Cursor
import android.database.MatrixCursor
import android.net.Uri
import android.os.ParcelFileDescriptor
import android.provider.OpenableColumns
import java.io.File
import java.io.FileNotFoundException

class PictureProvider : ContentProvider() {
    override fun onCreate() = true
    override fun getType(uri: Uri) = "image/png"

    override fun openFile(uri: Uri, mode: String): ParcelFileDescriptor {
        if (mode != "r" || uri != ADDRESS) throw FileNotFoundException(uri.toString())
        return ParcelFileDescriptor.open(file(context!!), ParcelFileDescriptor.MODE_READ_ONLY)
    }

    override fun query(uri: Uri, columns: Array<String>?, where: String?, values: Array<String>?, order: String?): Cursor {
        val picture = file(context!!)
        val known = mapOf(OpenableColumns.DISPLAY_NAME to picture.name, OpenableColumns.SIZE to picture.length())
        val asked = columns?.filter { it in known } ?: known.keys.toList()
        return MatrixCursor(asked.toTypedArray(), 1).apply { addRow(asked.map { known[it] }) }
    }

    override fun insert(uri: Uri, values: ContentValues?): Uri? = null
    override fun delete(uri: Uri, where: String?, values: Array<String>?) = 0
    override fun update(uri: Uri, values: ContentValues?, where: String?, with: Array<String>?) = 0

    companion object {
        val ADDRESS: Uri = Uri.parse("content://kerasmobilenets.demo.pictures/latency.png")

        fun file(context: Context) = File(context.cacheDir, "latency.png")
    }
}
