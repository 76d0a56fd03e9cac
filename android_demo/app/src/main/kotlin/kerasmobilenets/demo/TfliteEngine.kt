// TensorFlow Lite on the phone: an interpreter with XNNPACK, the GPU delegate or the NNAPI delegate.

package kerasmobilenets.demo

import android.content.Context
import java.io.File
import java.nio.ByteBuffer
import kerasmobilenets.core.Backend
import kerasmobilenets.core.BundleModel
import kerasmobilenets.core.Delegation
import kerasmobilenets.core.Engine
import kerasmobilenets.core.Engines
import kerasmobilenets.core.TensorSpec
import org.tensorflow.lite.DataType
import org.tensorflow.lite.Delegate
import org.tensorflow.lite.Interpreter
import org.tensorflow.lite.Tensor
import org.tensorflow.lite.executionPlanLength
import org.tensorflow.lite.gpu.GpuDelegate
import org.tensorflow.lite.gpu.GpuDelegateFactory
import org.tensorflow.lite.nnapi.NnApiDelegate

/** @param hashes SHA-256 by the models' paths: what NNAPI's compilation cache goes by. */
class TfliteEngines(private val context: Context, private val hashes: Map<String, String>) : Engines {
    override fun open(model: BundleModel, content: ByteBuffer, backend: Backend): Engine {
        val delegate: Delegate? = when (backend.kind) {
            Backend.Kind.CPU -> null
            Backend.Kind.GPU -> GpuDelegate(gpuOptions())
            Backend.Kind.NNAPI -> NnApiDelegate(nnapiOptions(model, backend))
        }
        // Beside another delegate XNNPACK stays away: what that one leaves shall not be counted as its own.
        val options = Interpreter.Options().setNumThreads(backend.threads).setUseXNNPACK(delegate == null)
        if (delegate != null) options.addDelegate(delegate)
        try {
            return TfliteEngine(Interpreter(content, options), delegate, model, backend)
        } catch (error: Exception) {
            val number = (delegate as? NnApiDelegate)?.let { numberOf(it) } ?: 0
            delegate?.close()
            val reason = if (number == 0) error.message else "${error.message} (NNAPI error $number)"
            throw IllegalStateException(reason, error)
        }
    }

    private fun gpuOptions() = GpuDelegateFactory.Options()
        .setPrecisionLossAllowed(true)
        .setQuantizedModelsAllowed(true)
        .setInferencePreference(GpuDelegateFactory.Options.INFERENCE_PREFERENCE_SUSTAINED_SPEED)

    private fun nnapiOptions(model: BundleModel, backend: Backend) = NnApiDelegate.Options()
        .setExecutionPreference(NnApiDelegate.Options.EXECUTION_PREFERENCE_SUSTAINED_SPEED)
        .setUseNnapiCpu(false)
        .setAllowFp16(model.input.dtype == "float32")
        .setCacheDir(nnapiCache(context).path)
        .setModelToken("${hashes[model.path]} ${backend.id}")
        .apply { backend.accelerator?.let(::setAcceleratorName) }
}

/** NNAPI's compilation cache. It is emptied before a row is measured, so that init_ms is the compilation's time. */
fun nnapiCache(context: Context): File = File(context.codeCacheDir, "nnapi").apply { mkdirs() }

private class TfliteEngine(
    private val interpreter: Interpreter,
    private val delegate: Delegate?,
    model: BundleModel,
    backend: Backend,
) : Engine {
    override val input = interpreter.getInputTensor(0).spec()
    override val outputs = List(interpreter.outputTensorCount) { interpreter.getOutputTensor(it).spec() }

    override val delegation: Delegation? =
        Delegation.fromLog(ownLog(), DELEGATES.getValue(backend.kind))
            ?: model.nodes?.let { Delegation.fromPlan(it, executionPlanLength(interpreter)) }

    override val errorNumber: Int get() = (delegate as? NnApiDelegate)?.let { numberOf(it) } ?: 0

    override fun run(input: ByteBuffer, outputs: List<ByteBuffer>): Long {
        interpreter.runForMultipleInputsOutputs(arrayOf<Any>(input), outputs.indices.associateWith<Int, Any>(outputs::get))
        return interpreter.lastNativeInferenceDurationNanoseconds
    }

    override fun close() {
        interpreter.close()
        delegate?.close()
    }

    private fun Tensor.spec(): TensorSpec {
        val type = if (dataType() == DataType.FLOAT32) "float32" else dataType().name.lowercase()
        val quantization = quantizationParams()
        return TensorSpec(shape().toList(), type, quantization.scale, quantization.zeroPoint)
    }

    private companion object {
        val DELEGATES = mapOf(
            Backend.Kind.CPU to "XNNPack",
            Backend.Kind.GPU to "Gpu",
            Backend.Kind.NNAPI to "Nnapi",
        )
    }
}

/** What the runtime has logged in this process. */
private fun ownLog(): Sequence<String> = try {
    val process = ProcessBuilder("logcat", "-d", "-v", "raw", "--pid=${android.os.Process.myPid()}", "-s", "tflite")
        .redirectErrorStream(true).start()
    process.inputStream.bufferedReader().readLines().asSequence()
} catch (ignored: java.io.IOException) {
    emptySequence()
}

private fun numberOf(delegate: NnApiDelegate): Int = try {
    delegate.nnapiErrno
} catch (ignored: IllegalStateException) { // it never got as far as NNAPI
    0
}
