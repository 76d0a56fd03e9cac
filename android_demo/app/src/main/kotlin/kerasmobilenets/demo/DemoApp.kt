// The process: holds the measuring, so that it outlives a rotation of the screen.

package kerasmobilenets.demo

import android.app.Application
import kerasmobilenets.core.Bundle
import kerasmobilenets.core.Files
import java.io.File

class DemoApp : Application() {
    val measuring: Measuring by lazy { Measuring(this) }

    /**
     * Opens a bundle; throws BundleError.
     *
     * @param folder Where adb has pushed it; null for the one in the APK.
     */
    fun openBundle(folder: String?): Bundle = Bundle.open(
        if (folder != null) Files { path -> File(folder, path).readBytes() }
        else Files { path -> assets.open("bundle/$path").use { it.readBytes() } },
    )
}
