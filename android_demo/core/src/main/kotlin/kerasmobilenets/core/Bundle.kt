// A bundle: models, labels, probes and labelled images, as the Python side writes it (tflite/bundles/manifest.schema.json).
// Every file is named in manifest.json with its SHA-256; a file that differs from it is refused.

package kerasmobilenets.core

import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.security.MessageDigest
import org.json.JSONArray
import org.json.JSONException
import org.json.JSONObject

/** Something in a bundle is missing, damaged or of another format; the message is one line. */
class BundleError(message: String) : Exception(message)

/** Where the files of a bundle come from: a folder on the host, the APK's assets on the phone. */
fun interface Files {
    /** The whole content of a file; throws java.io.IOException. */
    fun read(path: String): ByteArray
}

/**
 * A tensor's type: shape with the batch of 1 in front; dtype float32, int8 or uint8; scale 0 without quantization.
 * Of an image, a pixel's value is (pixel − mean) / std, with one of each or one for each channel.
 */
data class TensorSpec(
    val shape: List<Int>,
    val dtype: String,
    val scale: Float,
    val zeroPoint: Int,
    val mean: List<Float> = listOf(127.5f),
    val std: List<Float> = listOf(127.5f),
) {
    val elements: Int get() = shape.fold(1, Int::times)
    val bytes: Int get() = elements * if (dtype == "float32") 4 else 1
}

/**
 * Pixels, count×height×width×3 uint8 RGB, and the class of each image, its labels where it may have several, or its
 * boxes; none of them when they are unknown.
 */
data class ImageSet(
    val path: String,
    val count: Int,
    val height: Int,
    val width: Int,
    val labels: List<Int>,
    val attributes: List<Set<Int>> = emptyList(),
    val boxes: List<List<TrueBox>> = emptyList(),
)

/**
 * What a model's outputs are: one class, by the highest of them; independent labels; or boxes, each of a class.
 *
 * @property figure What of a row says how right it is: top-1, mean average precision, that of boxes at IoU 0.5.
 */
enum class Task(val figure: String) { CLASSIFICATION("top1"), ATTRIBUTES("map"), DETECTION("map50") }

/** One model. Probes are `probeCount` inputs in the tensor's own dtype, and the host's outputs as float32. */
data class BundleModel(
    val name: String,
    val path: String,
    val quantization: String?,
    val compression: String?,
    val parameters: Long?,
    val macs: Long?,
    val gzipBytes: Long?,
    val sparsity: Double?,
    val nodes: Int?,
    val input: TensorSpec,
    val output: TensorSpec,
    val labels: String,
    val images: ImageSet,
    val hostTop1: Double?,
    val probeInputs: String,
    val probeOutputs: String,
    val probeCount: Int,
    val sizeBytes: Long? = null,
    val builder: String? = null,
    val published: List<PublishedLatency> = emptyList(),
    val task: Task = Task.CLASSIFICATION,
    val hostMap: Double? = null,
    val hostMap50: Double? = null,
) {
    /** All outputs; a detector has boxes 1×M×4, their classes 1×M, their scores 1×M, and how many there are. */
    val outputs: List<TensorSpec>
        get() = if (task != Task.DETECTION) listOf(output) else output.shape[1].let { most ->
            listOf(output.shape, listOf(1, most), listOf(1, most), listOf(1)).map { output.copy(shape = it) }
        }

    /** The host's figure of the task. */
    val hostScore: Double?
        get() = when (task) {
            Task.CLASSIFICATION -> hostTop1
            Task.ATTRIBUTES -> hostMap
            Task.DETECTION -> hostMap50
        }
}

/** What others published of a model's network, at its input size and in its numbers: of one image, in ms. */
data class PublishedLatency(val device: String, val runtime: String, val milliseconds: Double, val source: String)

/** An opened bundle. Files are checked against the manifest when they are read. */
class Bundle(
    private val files: Files,
    val name: String,
    val models: List<BundleModel>,
    val hashes: Map<String, String>,
) {
    /** The content of a file, refused when its SHA-256 is not the manifest's. */
    fun read(path: String): ByteArray {
        val content = try {
            files.read(path)
        } catch (error: java.io.IOException) {
            throw BundleError("$path cannot be read, which the manifest names; make the bundle again")
        }
        val hash = sha256(content)
        if (hash != hashes[path]) throw BundleError("$path is not the file of the manifest: its SHA-256 is $hash")
        return content
    }

    /** As `read`, in a direct buffer, which TensorFlow Lite wants. */
    fun buffer(path: String): ByteBuffer = direct(read(path))

    fun labels(model: BundleModel): List<String> = read(model.labels).toString(Charsets.UTF_8).trimEnd().lines()

    fun model(name: String): BundleModel =
        models.firstOrNull { it.name == name } ?: throw BundleError("the bundle has no model $name")

    companion object {
        const val SCHEMA_VERSION = 1

        /** Reads manifest.json. */
        fun open(files: Files): Bundle {
            val text = try {
                files.read("manifest.json").toString(Charsets.UTF_8)
            } catch (error: java.io.IOException) {
                throw BundleError("there is no bundle: manifest.json is missing")
            }
            try {
                return parse(JSONObject(text), files)
            } catch (error: JSONException) {
                throw BundleError("manifest.json is damaged: ${error.message}")
            }
        }

        private fun parse(json: JSONObject, files: Files): Bundle {
            val version = json.getInt("schema_version")
            if (version != SCHEMA_VERSION) {
                throw BundleError("the bundle has format $version and this app reads $SCHEMA_VERSION; make it again")
            }
            val hashes = json.getJSONObject("files").let { all -> all.keyNames().associateWith { all.getString(it) } }
            val sets = json.getJSONArray("images").objects().map(::imageSet).associateBy { it.path }
            val models = json.getJSONArray("models").objects().map { model(it, sets) }
            if (models.isEmpty()) throw BundleError("the bundle holds no model")
            if (models.distinctBy { it.name }.size < models.size) throw BundleError("two models have the same name")
            val used = models.flatMap { listOf(it.path, it.labels, it.images.path, it.probeInputs, it.probeOutputs) }
            used.firstOrNull { it !in hashes }?.let { throw BundleError("$it has no SHA-256 in the manifest") }
            return Bundle(files, json.getString("name"), models, hashes)
        }

        private fun imageSet(json: JSONObject): ImageSet {
            val labels = json.getJSONArray("labels")
            val several = labels.length() > 0 && labels.get(0) is JSONArray
            val rows = if (several) List(labels.length(), labels::getJSONArray) else emptyList()
            val areBoxes = rows.any { it.length() > 0 && it.get(0) is JSONArray }
            val set = ImageSet(
                json.getString("path"),
                json.getInt("count"),
                json.getInt("height"),
                json.getInt("width"),
                if (several) emptyList() else labels.ints(),
                if (areBoxes) emptyList() else rows.map { it.ints().toSet() },
                if (areBoxes) rows.map { row -> List(row.length()) { trueBox(row.getJSONArray(it)) } } else emptyList(),
            )
            if (labels.length() !in setOf(0, set.count)) throw BundleError("${set.path} has ${labels.length()} labels")
            return set
        }

        private fun trueBox(json: JSONArray): TrueBox {
            val (top, left, bottom, right) = List(4) { json.getDouble(it).toFloat() }
            return TrueBox(Box(top, left, bottom, right, json.getInt(4), 1f), isJudged = json.getInt(5) == 0)
        }

        private fun model(json: JSONObject, sets: Map<String, ImageSet>): BundleModel {
            val name = json.getString("name")
            val input = tensor(json.getJSONObject("input"))
            val images = sets[json.getString("images")] ?: throw BundleError("$name: its images are not in the bundle")
            if (input.shape != listOf(1, images.height, images.width, 3)) {
                throw BundleError("$name takes ${input.shape} but its images are ${images.height}×${images.width}")
            }
            val probes = json.getJSONObject("probes")
            val output = tensor(json.getJSONObject("output"))
            val task = task(json.text("task") ?: "classification")
            if (task == Task.DETECTION && (output.dtype != "float32" || output.shape.size != 3 || output.shape[2] != 4)) {
                throw BundleError("$name detects boxes, and its first output is ${output.dtype} ${output.shape}")
            }
            return BundleModel(
                name,
                json.getString("path"),
                json.text("quantization"),
                json.text("compression"),
                json.long("parameters"),
                json.long("macs"),
                json.long("gzip_bytes"),
                json.real("sparsity"),
                json.long("nodes")?.toInt(),
                input,
                output,
                json.getString("labels"),
                images,
                json.real("host_top1"),
                probes.getString("inputs"),
                probes.getString("outputs"),
                probes.getInt("count"),
                json.long("size_bytes"),
                json.text("builder"),
                if (json.isNull("published")) emptyList() else json.getJSONArray("published").objects().map(::published),
                task,
                json.real("host_map"),
                json.real("host_map50"),
            )
        }

        private fun published(json: JSONObject) = PublishedLatency(
            json.getString("device"), json.getString("runtime"), json.getDouble("latency_ms"), json.getString("source"),
        )

        private fun task(name: String): Task =
            Task.entries.firstOrNull { it.name.lowercase() == name } ?: throw BundleError("models for $name are unknown")

        private fun tensor(json: JSONObject): TensorSpec {
            val spec = TensorSpec(
                json.getJSONArray("shape").ints(),
                json.getString("dtype"),
                json.getDouble("scale").toFloat(),
                json.getInt("zero_point"),
                json.floats("mean") ?: listOf(127.5f),
                json.floats("std") ?: listOf(127.5f),
            )
            if (spec.mean.size != spec.std.size || spec.mean.size !in setOf(1, 3)) {
                throw BundleError("mean and std are of ${spec.mean.size} and ${spec.std.size} channels")
            }
            if (spec.dtype !in setOf("float32", "int8", "uint8")) {
                throw BundleError("tensors of ${spec.dtype} are unknown")
            }
            return spec
        }
    }
}

/** SHA-256 in lower-case hexadecimal. */
fun sha256(content: ByteArray): String =
    MessageDigest.getInstance("SHA-256").digest(content).joinToString("") { "%02x".format(it) }

/** A direct buffer in the machine's byte order that holds these bytes. */
fun direct(content: ByteArray): ByteBuffer {
    val buffer = ByteBuffer.allocateDirect(content.size).order(ByteOrder.nativeOrder())
    buffer.put(content).rewind()
    return buffer
}

internal fun JSONObject.keyNames(): List<String> = keys().asSequence().map { it.toString() }.toList()

internal fun JSONArray.objects(): List<JSONObject> = (0 until length()).map(::getJSONObject)

internal fun JSONArray.ints(): List<Int> = (0 until length()).map(::getInt)

internal fun JSONObject.text(name: String): String? = if (isNull(name)) null else getString(name)

internal fun JSONObject.long(name: String): Long? = if (isNull(name)) null else getLong(name)

internal fun JSONObject.floats(name: String): List<Float>? =
    if (isNull(name)) null else getJSONArray(name).let { all -> List(all.length()) { all.getDouble(it).toFloat() } }

internal fun JSONObject.real(name: String): Double? = if (isNull(name)) null else getDouble(name)
