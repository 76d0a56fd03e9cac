// TensorFlow Lite of the host, through its C++ API (bytedeco's build), with XNNPACK as on the phone.

package kerasmobilenets.core

import java.nio.ByteBuffer
import org.bytedeco.javacpp.BytePointer
import org.bytedeco.javacpp.Pointer
import org.bytedeco.tensorflowlite.BuiltinOpResolver
import org.bytedeco.tensorflowlite.FlatBufferModel
import org.bytedeco.tensorflowlite.Interpreter
import org.bytedeco.tensorflowlite.InterpreterBuilder
import org.bytedeco.tensorflowlite.TfLiteTensor
import org.bytedeco.tensorflowlite.global.tensorflowlite.kTfLiteFloat32
import org.bytedeco.tensorflowlite.global.tensorflowlite.kTfLiteInt8
import org.bytedeco.tensorflowlite.global.tensorflowlite.kTfLiteUInt8

object HostEngines : Engines {
    override fun open(model: BundleModel, content: ByteBuffer, backend: Backend): Engine {
        require(backend.kind == Backend.Kind.CPU) { "the host has no ${backend.id}" }
        return HostEngine(content, backend.threads)
    }
}

private class HostEngine(content: ByteBuffer, threads: Int) : Engine {
    private val bytes = BytePointer(content)
    private val model = checkNotNull(FlatBufferModel.BuildFromBuffer(bytes, content.capacity().toLong()))
    private val resolver = BuiltinOpResolver()
    private val interpreter = Interpreter(null as Pointer?)

    init {
        InterpreterBuilder(model, resolver).use { check(it.apply(interpreter, threads) == 0) { "no interpreter" } }
        check(interpreter.AllocateTensors() == 0) { "no tensors" }
    }

    override val input = interpreter.input_tensor(0).spec()
    override val outputs = List(interpreter.outputs().limit().toInt()) { interpreter.output_tensor(it.toLong()).spec() }

    // nodes_size() counts the pieces that were added, too; the plan holds what is executed.
    override val delegation: Delegation?
        get() = null

    override fun run(input: ByteBuffer, outputs: List<ByteBuffer>): Long {
        interpreter.input_tensor(0).data().raw().capacity(input.capacity().toLong()).asBuffer().put(input)
        val start = System.nanoTime()
        check(interpreter.Invoke() == 0) { "the inference failed" }
        val end = System.nanoTime()
        outputs.forEachIndexed { i, output ->
            val raw = interpreter.output_tensor(i.toLong()).data().raw()
            output.put(raw.capacity(output.capacity().toLong()).asBuffer() as ByteBuffer)
        }
        return end - start
    }

    override fun close() {
        interpreter.close()
        model.close()
    }

    private fun TfLiteTensor.spec(): TensorSpec {
        val type = when (type()) {
            kTfLiteFloat32 -> "float32"
            kTfLiteInt8 -> "int8"
            kTfLiteUInt8 -> "uint8"
            else -> "type ${type()}"
        }
        val shape = List(dims().size()) { dims().data(it) }
        return TensorSpec(shape, type, params().scale(), params().zero_point())
    }
}
