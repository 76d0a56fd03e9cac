// A stand-in: Robolectric calls this class of AndroidX, which only Google's servers have, and needs nothing of it here.

package androidx.test.runner.intent

import android.app.Instrumentation
import android.content.Intent

interface IntentMonitor

interface IntentStubber {
    fun getActivityResultForIntent(intent: Intent?): Instrumentation.ActivityResult?
}

object IntentMonitorRegistry {
    @JvmStatic fun registerInstance(monitor: IntentMonitor?) = Unit
}

object IntentStubberRegistry {
    @JvmStatic fun isLoaded() = false

    @JvmStatic fun getInstance(): IntentStubber? = null
}
