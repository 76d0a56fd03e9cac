// The sheet as a picture to be shared: the same size on every phone, under what it was measured on.

package kerasmobilenets.demo.charts

import android.content.Context
import android.content.res.Configuration
import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.Color
import android.view.ContextThemeWrapper
import android.view.View.MeasureSpec
import android.widget.LinearLayout
import android.widget.TextView
import java.io.IOException
import java.io.OutputStream
import kerasmobilenets.core.Entry
import kerasmobilenets.core.Environment
import kerasmobilenets.demo.R

private const val WIDTH = 480 // dp, at two pixels each
private const val HIGHEST = 16000 // pixels: what other apps still show

/** Writes the PNG; throws IOException, such as for a full disk. */
fun writePicture(context: Context, entries: List<Entry>, where: Environment, phone: String, out: OutputStream) {
    val same = Configuration(context.resources.configuration).apply { fontScale = 1f; densityDpi = 320 }
    val themed = ContextThemeWrapper(context.createConfigurationContext(same), R.style.Demo)
    val sheet = Sheet(themed, phone, tapped = null)
    val page = LinearLayout(themed).apply {
        orientation = LinearLayout.VERTICAL
        setPadding(24, 24, 24, 24)
        setBackgroundColor(themed.getColor(R.color.surface))
    }
    val ink = Ink(themed)
    page.addView(TextView(themed).apply {
        text = listOfNotNull(where.device, where.soc, where.os, "TensorFlow Lite ${where.runtimeVersion}", where.timestamp).joinToString(" · ")
        textSize = 13f
        setTextColor(ink.soft)
        setPadding(16, 0, 16, 20)
    })
    for (view in sheet.opening(entries) + sheet.models(entries.filter { it.row != null }, isRunning = false)) page.addView(view)
    page.measure(MeasureSpec.makeMeasureSpec(2 * WIDTH, MeasureSpec.EXACTLY), MeasureSpec.makeMeasureSpec(0, MeasureSpec.UNSPECIFIED))
    page.layout(0, 0, page.measuredWidth, page.measuredHeight)
    val bitmap = Bitmap.createBitmap(page.width, minOf(page.height, HIGHEST), Bitmap.Config.ARGB_8888)
    bitmap.eraseColor(Color.WHITE)
    page.draw(Canvas(bitmap))
    if (!bitmap.compress(Bitmap.CompressFormat.PNG, 100, out)) throw IOException("the picture could not be written")
}
