// The process: holds the bundle and the measuring, so that both outlive a rotation of the screen.

package kerasmobilenets.demo

import android.app.Application
import kerasmobilenets.core.Bundle
import kerasmobilenets.core.Files

class DemoApp : Application() {
    /** The bundle in the APK; throws BundleError. Opened at first use, in each process that needs it. */
    val bundle: Bundle by lazy { Bundle.open(Files { path -> assets.open("bundle/$path").use { it.readBytes() } }) }

    val measuring: Measuring by lazy { Measuring(this) }
}
