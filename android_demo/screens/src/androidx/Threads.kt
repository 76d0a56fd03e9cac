// A stand-in: Robolectric calls this class of AndroidX, which only Google's servers have, and needs nothing of it here.

package androidx.test.internal.platform

interface ThreadChecker {
    fun checkMainThread()
    fun checkNotMainThread()
}
