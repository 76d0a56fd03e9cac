// One row: open a model cold, check its answers, warm up, time it. Only the inference is timed, in nanoTime.

package kerasmobilenets.core

import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.math.abs

/** How long to measure: runs and seconds must both be reached, and `maxSeconds` ends it. */
data class Timing(
    val warmupRuns: Int = 10,
    val warmupSeconds: Double = 0.5,
    val minRuns: Int = 100,
    val minSeconds: Double = 1.0,
    val maxSeconds: Double = 60.0,
)

/** Thrown out of a measurement that was cancelled. */
class Cancelled : Exception("cancelled")

/**
 * Measures one model on one backend, in a process that has not yet opened a model.
 *
 * @param soakMinutes Of a soak behind the timing; 0 for none. A soak that is cancelled keeps what it has.
 * @param told The row until now, after each window of the soak.
 * @param cancelled Asked between inferences.
 * @return The row. It is failed, with the reason, when the backend refuses the model or does not tell what it took;
 *     where the delegate took no operator, `nodes_delegated` is 0 and `fellBack` says so.
 */
fun measure(
    bundle: Bundle,
    model: BundleModel,
    backend: Backend,
    engines: Engines,
    device: Device = LinuxDevice(),
    timing: Timing = Timing(),
    soakMinutes: Int = 0,
    told: (Row) -> Unit = {},
    cancelled: () -> Boolean = { false },
): Row = try {
    Measurement(bundle, model, backend, device, timing, cancelled).row(engines, soakMinutes, told)
} catch (stopped: Cancelled) {
    throw stopped
} catch (error: Exception) { // runtimes throw what they like, and the row keeps the reason
    Row.failed(model, backend, error.message ?: error.javaClass.simpleName)
}

private class Measurement(
    private val bundle: Bundle,
    private val model: BundleModel,
    private val backend: Backend,
    private val device: Device,
    private val timing: Timing,
    private val cancelled: () -> Boolean,
) {
    fun row(engines: Engines, soakMinutes: Int, told: (Row) -> Unit): Row {
        val content = bundle.buffer(model.path)
        val size = content.capacity()
        val before = device.memoryMb()
        device.restartPeak()
        val start = System.nanoTime()
        engines.open(model, content, backend).use { engine ->
            val opened = System.nanoTime()
            val pairs = (listOf(engine.input) + engine.outputs).zip(listOf(model.input) + model.outputs)
            val areThose = engine.outputs.size == model.outputs.size && pairs.all { (here, there) -> here.fits(there) }
            check(areThose) {
                "the model's tensors are not those of the manifest: ${engine.input} ${engine.outputs.joinToString(" ")}"
            }
            val feed = Feed(engine, model.input)
            val first = feed.zeros()
            val peak = device.peakMemoryMb()
            val figures = mutableMapOf<String, Any?>(
                "model_size_mb" to rounded(size / 1e6, 6),
                "init_ms" to rounded((opened - start) / 1e6, 4),
                "first_inference_ms" to rounded(first / 1e6, 4),
                "peak_mem_mb" to if (before == null || peak == null) null else rounded(maxOf(0.0, peak - before), 3),
                "max_abs_err" to probe(feed).toDouble(),
                "thermal_start" to device.thermalStatus(),
            )
            figures += score(feed)
            figures += time(feed)
            figures["thermal_end"] = device.thermalStatus()
            if (engine.errorNumber != 0) figures["error"] = "NNAPI error ${engine.errorNumber}"
            val row = Row(Row.described(model, backend) + figures + credit(engine.delegation))
            if (soakMinutes == 0) return row
            fun with(soak: Soak) = row.with("sustained" to soak.toJson())
            return with(soak(soakMinutes, device, cancelled = cancelled, told = { told(with(it)) }) { feed.again() })
        }
    }

    /** Who did the work. An accelerator that cannot be shown to have done it gets no row. */
    private fun credit(delegation: Delegation?): Map<String, Any?> {
        val onCpu = backend.kind == Backend.Kind.CPU
        check(delegation != null || onCpu) { "the runtime does not say what ${backend.id} took" }
        val took = delegation?.delegated ?: 0
        return mapOf(
            "nodes_total" to (delegation?.total ?: model.nodes),
            "nodes_delegated" to delegation?.delegated,
            "partitions" to delegation?.partitions,
            "backend" to if (onCpu && took == 0) "cpu" else backend.resultName,
        )
    }

    /** The largest difference from the host's outputs; of boxes as `difference` has it. */
    private fun probe(feed: Feed): Float {
        val inputs = bundle.read(model.probeInputs)
        val outputs = bundle.buffer(model.probeOutputs)
        check(inputs.size == model.probeCount * model.input.bytes) { "${model.probeInputs} has another size" }
        val values = model.outputs.sumOf { it.elements }
        check(outputs.capacity() == 4 * model.probeCount * values) { "${model.probeOutputs} has another size" }
        var largest = 0f
        for (i in 0 until model.probeCount) {
            val here = feed.raw(inputs, i * model.input.bytes)
            val host = FloatArray(values) { outputs.getFloat() }
            val differences = if (model.task == Task.DETECTION) listOf(difference(boxes(here), boxes(host)))
            else here.indices.map { abs(here[it] - host[it]) }
            largest = differences.fold(largest, ::maxOf) // NaN stays
        }
        check(largest.isFinite()) { "the outputs are not numbers" }
        return largest
    }

    /** Top-1 on the labelled images, or mean average precision where each has several labels, or boxes. */
    private fun score(feed: Feed): Map<String, Any?> {
        val images = model.images
        if (images.labels.isEmpty() && images.attributes.isEmpty() && images.boxes.isEmpty()) return emptyMap()
        val pixels = bundle.read(images.path)
        check(pixels.size == images.count * images.height * images.width * 3) { "${images.path} has another size" }
        val scores = List(images.count) { i ->
            if (cancelled()) throw Cancelled()
            feed.pixels(pixels, i * images.height * images.width * 3)
        }
        return when (model.task) {
            Task.ATTRIBUTES -> mapOf("map" to meanAveragePrecision(scores, images.attributes))
            Task.DETECTION -> boxPrecision(scores.map(::boxes), images.boxes).let { mapOf("map" to it?.map, "map50" to it?.map50) }
            Task.CLASSIFICATION ->
                mapOf("top1" to scores.indices.count { best(scores[it], 1)[0] == images.labels[it] } / images.count.toDouble())
        }
    }

    private fun time(feed: Feed): Map<String, Any?> {
        feed.pixels(bundle.read(model.images.path), 0)
        var warmups = 0
        val warm = System.nanoTime() + (timing.warmupSeconds * 1e9).toLong()
        while (warmups < timing.warmupRuns || System.nanoTime() < warm) {
            if (cancelled()) throw Cancelled()
            feed.again()
            warmups++
        }
        var times = LongArray(maxOf(16, timing.minRuns))
        var runs = 0
        var spent = 0L
        while (spent < timing.maxSeconds * 1e9 && (runs < timing.minRuns || spent < timing.minSeconds * 1e9)) {
            if (cancelled()) throw Cancelled()
            if (runs == times.size) times = times.copyOf(2 * runs)
            times[runs] = feed.again()
            spent += times[runs++]
        }
        val figures = statistics(times.copyOf(runs))
        val rate = model.macs?.let { rounded(it / figures.getValue("median_ms") / 1e6, 4) }
        return figures + mapOf(
            "num_runs" to runs,
            "num_warmup_runs" to warmups,
            "drift" to drift(times.copyOf(runs)),
            "gmacs_per_s" to rate,
        )
    }

    private fun TensorSpec.fits(other: TensorSpec) = shape == other.shape && dtype == other.dtype
}

/** An engine with buffers of its own; `image` says what its pixels mean. */
class Feed(private val engine: Engine, private val image: TensorSpec) {
    private val input = buffer(engine.input.bytes)
    private val outputs = engine.outputs.map { buffer(it.bytes) }

    /** Runs what the input buffer holds; returns nanoseconds. */
    fun again(): Long {
        input.rewind()
        for (output in outputs) output.rewind()
        return engine.run(input, outputs)
    }

    fun zeros(): Long = again()

    /** Answers to an input in the tensor's own dtype: of several outputs, one behind the other. */
    fun raw(bytes: ByteArray, offset: Int): FloatArray {
        input.rewind()
        input.put(bytes, offset, engine.input.bytes)
        again()
        return read()
    }

    /** Answers to pixels 0..255. */
    fun pixels(pixels: ByteArray, offset: Int): FloatArray {
        writePixels(pixels, offset, engine.input.copy(mean = image.mean, std = image.std), input)
        again()
        return read()
    }

    private fun read(): FloatArray = outputs.indices.map { readScores(outputs[it], engine.outputs[it]) }
        .reduce { before, next -> before + next }

    private fun buffer(bytes: Int) = ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder())
}
