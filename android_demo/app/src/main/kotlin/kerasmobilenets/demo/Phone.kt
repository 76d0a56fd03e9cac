// What the phone says of itself: thermal status, battery, chip, system.

package kerasmobilenets.demo

import android.content.Context
import android.os.BatteryManager
import android.os.Build
import android.os.PowerManager
import java.text.SimpleDateFormat
import java.util.Date
import java.util.Locale
import java.util.TimeZone
import kerasmobilenets.core.Environment
import kerasmobilenets.core.LinuxDevice
import org.tensorflow.lite.TensorFlowLite

class Phone(private val context: Context) : LinuxDevice() {
    private val power = context.getSystemService(PowerManager::class.java)

    override fun thermalStatus(): String? =
        if (Build.VERSION.SDK_INT < 29) null else THERMAL.getOrNull(power.currentThermalStatus)

    override fun chargeMah(): Double? {
        val battery = context.getSystemService(BatteryManager::class.java)
        val microamperes = battery.getLongProperty(BatteryManager.BATTERY_PROPERTY_CHARGE_COUNTER)
        return if (battery.isCharging || microamperes <= 0) null else microamperes / 1e3
    }

    val canSustain: Boolean get() = power.isSustainedPerformanceModeSupported

    /** What the app and what was published call it. */
    val model: String get() = Build.MODEL

    /** The environment block of results.json. */
    fun environment(modelSha256: Map<String, String>): Environment {
        val battery = context.getSystemService(BatteryManager::class.java)
        val percent = battery.getIntProperty(BatteryManager.BATTERY_PROPERTY_CAPACITY)
        return Environment(
            device = "${Build.MANUFACTURER} ${Build.MODEL}",
            soc = if (Build.VERSION.SDK_INT < 31) Build.HARDWARE else "${Build.SOC_MANUFACTURER} ${Build.SOC_MODEL}",
            os = "Android ${Build.VERSION.RELEASE} (API ${Build.VERSION.SDK_INT}), ${Build.DISPLAY}",
            runtimeVersion = TensorFlowLite.runtimeVersion(),
            threadsAvailable = Runtime.getRuntime().availableProcessors(),
            timestamp = now(),
            modelSha256 = modelSha256,
            extra = mapOf(
                "battery_percent" to percent.takeIf { it in 0..100 },
                "charging" to battery.isCharging,
                "sustained_performance" to canSustain,
            ),
        )
    }

    private fun now(): String {
        val format = SimpleDateFormat("yyyy-MM-dd'T'HH:mm:ss'Z'", Locale.ROOT)
        format.timeZone = TimeZone.getTimeZone("UTC")
        return format.format(Date())
    }

    private companion object {
        val THERMAL = listOf("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
    }
}
