// A row of results.json by the names of its schema (tflite/results/results.schema.json), and the file around the rows.

package kerasmobilenets.core

import org.json.JSONArray
import org.json.JSONObject

/** One model on one backend; a name that is not given is null. */
class Row(given: Map<String, Any?>) {
    val values: Map<String, Any?> = FIELDS.associateWith { given[it] }

    init {
        val unknown = given.keys - FIELDS
        require(unknown.isEmpty()) { "results.json has no $unknown" }
    }

    val model: String get() = values["model"] as String
    val isOk: Boolean get() = values["status"] == "ok"

    /** Whether the CPU did what was meant for an accelerator. */
    val fellBack: Boolean
        get() = isOk && text("backend") !in setOf("cpu", "xnnpack") && number("nodes_delegated")?.toInt() == 0

    val error: String? get() = text("error")

    /** The soak that followed; null where nobody asked. */
    val soak: Soak? get() = (values["sustained"] as JSONObject?)?.let(Soak::of)

    fun text(name: String): String? = values.getValue(name) as String?
    fun number(name: String): Number? = values.getValue(name) as Number?
    fun with(vararg more: Pair<String, Any?>) = Row(values + more)

    fun toJson(): JSONObject {
        val json = JSONObject()
        for ((name, value) in values) json.put(name, value ?: JSONObject.NULL)
        return json
    }

    override fun equals(other: Any?) = other is Row && other.values == values
    override fun hashCode() = values.hashCode()
    override fun toString() = values.toString()

    companion object {
        val FIELDS = listOf(
            "model", "quantization", "backend", "threads", "parameters", "macs", "model_size_mb", "num_runs",
            "num_warmup_runs", "init_ms", "first_inference_ms", "median_ms", "avg_ms", "min_ms", "max_ms", "stddev_ms",
            "p5_ms", "p90_ms", "p95_ms", "peak_mem_mb", "top1", "max_abs_err", "nodes_total", "nodes_delegated",
            "partitions", "accelerator", "thermal_start", "thermal_end", "status", "error", "compression",
            "gzip_size_mb", "sparsity", "gmacs_per_s", "limit_share", "drift", "peer_ratio",
            "estimated", "estimate_ms", "memory", "system", "map", "map50", "f1", "per_class", "sustained",
            "ndcg10", "hr10",
        )

        fun of(json: JSONObject): Row =
            Row(json.keyNames().associateWith { name -> if (json.isNull(name)) null else json.get(name) })

        /** The row of a measurement that did not come to its end. */
        fun failed(model: BundleModel, backend: Backend, reason: String) =
            Row(described(model, backend) + mapOf("status" to "failed", "error" to oneLine(reason)))

        /** What is known of a row before it is measured. */
        fun described(model: BundleModel, backend: Backend): Map<String, Any?> = mapOf(
            "model" to model.name,
            "quantization" to model.quantization,
            "compression" to model.compression,
            "parameters" to model.parameters,
            "macs" to model.macs,
            "gzip_size_mb" to model.gzipBytes?.let { rounded(it / 1e6, 6) },
            "sparsity" to model.sparsity,
            "nodes_total" to model.nodes,
            "backend" to backend.resultName,
            "threads" to backend.threads,
            "accelerator" to backend.accelerator,
            "status" to "ok",
        )
    }
}

/** Where rows were measured; what is null is unknown. `extra` holds what only a phone knows. */
data class Environment(
    val device: String?,
    val soc: String?,
    val os: String?,
    val runtimeVersion: String?,
    val threadsAvailable: Int?,
    val timestamp: String,
    val modelSha256: Map<String, String>,
    val extra: Map<String, Any?> = emptyMap(),
)

/** The content of results.json. */
fun resultsJson(rows: List<Row>, environment: Environment): JSONObject {
    val place = JSONObject()
    place.put("device", environment.device ?: JSONObject.NULL)
    place.put("soc", environment.soc ?: JSONObject.NULL)
    place.put("os", environment.os ?: JSONObject.NULL)
    place.put("runtime", "TensorFlow Lite")
    place.put("runtime_version", environment.runtimeVersion ?: JSONObject.NULL)
    place.put("threads_available", environment.threadsAvailable ?: JSONObject.NULL)
    place.put("timestamp", environment.timestamp)
    place.put("model_sha256", JSONObject(environment.modelSha256))
    for ((name, value) in environment.extra) place.put(name, value ?: JSONObject.NULL)
    return JSONObject()
        .put("schema_version", 1)
        .put("environment", place)
        .put("rows", JSONArray(rows.map(Row::toJson)))
}

/** A message on one line, without an exception's class name in front. */
fun oneLine(message: String?): String =
    message.orEmpty().split(Regex("""\s+""")).filter(String::isNotEmpty).joinToString(" ").take(300)
        .ifEmpty { "no reason given" }
