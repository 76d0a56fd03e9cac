// A stand-in: Robolectric calls this class of AndroidX, which only Google's servers have, and needs nothing of it here.

package androidx.test.platform.app

import android.app.Instrumentation
import android.os.Bundle

object InstrumentationRegistry {
    @JvmStatic fun registerInstance(instrumentation: Instrumentation?, arguments: Bundle?) = Unit
}
