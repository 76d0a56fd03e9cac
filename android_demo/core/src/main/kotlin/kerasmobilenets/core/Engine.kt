// The seam between measuring and the runtime: TensorFlow Lite's Java API on the phone, its C++ API in the JVM tests.

package kerasmobilenets.core

import java.nio.ByteBuffer

/** An open model. */
interface Engine : AutoCloseable {
    val input: TensorSpec
    val outputs: List<TensorSpec>

    /** What the backend's delegate took; null when the runtime cannot say. */
    val delegation: Delegation?

    /** The delegate's error number; 0 when all is well or there is none. */
    val errorNumber: Int get() = 0

    /** Feeds, runs and reads one image, a buffer for each output; returns the nanoseconds of the inference alone. */
    fun run(input: ByteBuffer, outputs: List<ByteBuffer>): Long
}

/** Opens a model on a backend; throws with a reason when the backend cannot take it. */
fun interface Engines {
    fun open(model: BundleModel, content: ByteBuffer, backend: Backend): Engine
}

/** What is known of the machine while it measures. */
interface Device {
    /** None, light, moderate, severe, ...; null when the machine does not say. */
    fun thermalStatus(): String?

    /** Memory of this process in 10⁶ bytes, now and at its highest since `restartPeak`; null when unknown. */
    fun memoryMb(): Double?
    fun peakMemoryMb(): Double?
    fun restartPeak()

    /** Charge of the battery in milliampere hours; null while it is being charged or when it is unknown. */
    fun chargeMah(): Double?
}

/** A device of which nothing is known but what Linux tells of the process; thermal status is left to subclasses. */
open class LinuxDevice : Device {
    override fun thermalStatus(): String? = null
    override fun chargeMah(): Double? = null
    override fun memoryMb(): Double? = status("VmRSS")
    override fun peakMemoryMb(): Double? = status("VmHWM")

    override fun restartPeak() {
        try {
            java.io.File("/proc/self/clear_refs").writeText("5") // lets VmHWM start again from here
        } catch (ignored: java.io.IOException) {
        }
    }

    private fun status(name: String): Double? = try {
        java.io.File("/proc/self/status").readLines()
            .firstOrNull { it.startsWith("$name:") }
            ?.let { line -> line.filter(Char::isDigit).toLong() * 1024 / 1e6 }
    } catch (ignored: java.io.IOException) {
        null
    }
}
