// A small bundle in memory, and an engine that answers by a rule, for what needs no runtime.

package kerasmobilenets.core

import java.io.FileNotFoundException
import java.nio.ByteBuffer
import org.json.JSONArray
import org.json.JSONObject

/** 2 images of 2×2 pixels, 3 classes, one float model called "m". */
class FakeBundle(labels: List<Int> = listOf(1, 2)) {
    val contents = mutableMapOf(
        "models/m.tflite" to byteArrayOf(1, 2, 3),
        "labels.txt" to "a\nb\nc\n".toByteArray(),
        "images.bin" to ByteArray(24) { (it * 10).toByte() },
        "in.bin" to ByteArray(48),
        "out.bin" to ByteArray(12),
    )
    val manifest: JSONObject = JSONObject()
        .put("schema_version", 1)
        .put("name", "fake")
        .put("files", JSONObject(contents.mapValues { sha256(it.value) }))
        .put("images", JSONArray().put(images(labels)))
        .put("models", JSONArray().put(model("m")))

    fun open() = Bundle.open(Files { path ->
        if (path == "manifest.json") manifest.toString().toByteArray()
        else contents[path] ?: throw FileNotFoundException(path)
    })

    private fun images(labels: List<Int>) = JSONObject()
        .put("path", "images.bin").put("count", 2).put("height", 2).put("width", 2).put("labels", JSONArray(labels))

    fun model(name: String): JSONObject = JSONObject()
        .put("name", name).put("path", "models/m.tflite").put("quantization", "none").put("compression", JSONObject.NULL)
        .put("parameters", 10).put("macs", 2_000_000).put("gzip_bytes", 3).put("sparsity", 0.5).put("nodes", 65)
        .put("input", tensor(1, 2, 2, 3)).put("output", tensor(1, 3))
        .put("labels", "labels.txt").put("images", "images.bin").put("host_top1", 0.5).put("size_bytes", 3)
        .put("probes", JSONObject().put("inputs", "in.bin").put("outputs", "out.bin").put("count", 1))

    private fun tensor(vararg shape: Int) = JSONObject()
        .put("shape", JSONArray(shape.toList())).put("dtype", "float32").put("scale", 0.0).put("zero_point", 0)
}

/** Says class 1 to every image, or what it is given, and that its delegate took so many of 65 operators. */
class FakeEngine(
    private val taken: Int?,
    override val errorNumber: Int = 0,
    private val answers: List<FloatArray> = listOf(floatArrayOf(0.25f, 0.75f, 0f)),
    shapes: List<List<Int>> = listOf(listOf(1, 3)),
) : Engine {
    override val input = TensorSpec(listOf(1, 2, 2, 3), "float32", 0f, 0)
    override val outputs = shapes.map { TensorSpec(it, "float32", 0f, 0) }
    override val delegation get() = taken?.let { Delegation(65, it, if (it == 0) 0 else 1) }

    override fun run(input: ByteBuffer, outputs: List<ByteBuffer>): Long {
        for ((output, answer) in outputs zip answers) answer.forEach(output::putFloat)
        return 1_000_000
    }

    override fun close() = Unit
}
