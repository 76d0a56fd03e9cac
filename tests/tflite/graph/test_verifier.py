"""Unusual files that the runtime runs: the verifier takes them, and they answer what the plain interpreter answers."""

import flatbuffers.flexbuffers
import numpy as np
import pytest

from keras_mobilenets import tflite
from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.graph.flatbuffer import schema
from keras_mobilenets.tflite.graph.macs import file_macs
from keras_mobilenets.tflite.runtime.interpreter import open_model

INPUT = np.random.default_rng(0).uniform(-1, 1, (1, 32, 32, 3)).astype(np.float32)


def answers(interpreter, values):
    (source,) = interpreter.get_input_details()
    interpreter.set_tensor(source["index"], values)
    interpreter.invoke()
    return [interpreter.get_tensor(target["index"]) for target in interpreter.get_output_details()]


def assert_runs_as_in_the_plain_interpreter(path, values=INPUT):
    from ai_edge_litert.interpreter import Interpreter

    plain = Interpreter(str(path), num_threads=1)
    plain.allocate_tensors()
    for ours, theirs in zip(answers(open_model(path).interpreter, values), answers(plain, values), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for verb in (tflite.inspect, tflite.check_nnapi, tflite.check_gpu):
        assert str(verb(path))


def first_buffer_that_is_not_empty(model, graph):
    model.buffers[0].data = np.arange(12, dtype=np.uint8)  # files of 2018: buffer 0 means "computed" all the same


def one_buffer_twice(model, graph):
    names = {}
    for place, buffer in enumerate(model.buffers):
        names.setdefault(None if buffer.data is None else bytes(buffer.data), place)
    for tensor in graph.tensors:
        data = model.buffers[tensor.buffer].data
        tensor.buffer = names[None if data is None else bytes(data)]


def code_of_the_older_field(model, graph):
    for code in model.operatorCodes:
        code.builtinCode = 0


def shape_signature_of_another_rank(model, graph):
    graph.tensors[graph.operators[0].outputs[0]].shapeSignature = np.array([-1], np.int32)


def float_with_a_scale_that_is_no_number(model, graph):
    graph.tensors[graph.operators[0].outputs[0]].quantization = schema.QuantizationParametersT(
        scale=np.array([np.nan], np.float32), zeroPoint=np.array([500])
    )


def variable_as_input(model, graph):
    graph.tensors[graph.inputs[0]].isVariable = True


def no_output(model, graph):
    graph.outputs = np.array([], np.int32)


def vectors_left_out(model, graph):
    model.subgraphs.append(schema.SubGraphT(tensors=[], operators=[]))  # no lists of inputs and outputs
    model.metadata = model.signatureDefs = None


@pytest.mark.parametrize(
    "change",
    [
        first_buffer_that_is_not_empty, one_buffer_twice, code_of_the_older_field, shape_signature_of_another_rank,
        float_with_a_scale_that_is_no_number, variable_as_input, no_output, vectors_left_out,
    ],
)  # fmt: skip
def test_what_the_runtime_runs_is_not_damaged(changed, change):
    assert_runs_as_in_the_plain_interpreter(changed(change))


def test_an_operator_may_write_an_empty_tensor(changed):
    """As SPLIT_V does in BirdNET, with parts of 0 and 4."""

    def split(model, graph):
        graph = flatbuffer.Graph(model)
        first, second = (graph.add_tensor("part", (size,), schema.TensorType.FLOAT32) for size in (0, 7))
        for tensor in (first, second):  # each with a buffer of its own, without values
            model.buffers.append(schema.BufferT())
            graph.tensors[tensor].buffer = len(model.buffers) - 1
        flat = graph.add_tensor("flat", (7,), schema.TensorType.FLOAT32)
        shape, sizes, axis = (
            graph.add_tensor("constant", np.shape(values), schema.TensorType.INT32, values=np.array(values, np.int32))
            for values in ([7], [0, 7], 0)
        )
        graph.insert("RESHAPE", [int(model.subgraphs[0].outputs[0]), shape], flat, len(graph.operators))
        operator = graph.insert("SPLIT_V", [flat, sizes, axis], first, len(graph.operators))
        operator.outputs, operator.builtinOptions.numSplits = np.array([first, second], np.int32), 2
        model.subgraphs[0].outputs = np.array([second, first], np.int32)

    path = changed(split)
    assert_runs_as_in_the_plain_interpreter(path)
    assert tflite.inspect(path).outputs[1].shape == (0,)


def test_values_behind_the_tables_are_read(tflite_files, tmp_path):
    """Large files store buffers behind the flatbuffer, at an offset."""
    model = flatbuffer.read(tflite_files["float32"].read_bytes())
    large = [buffer for buffer in model.buffers if buffer.data is not None and len(buffer.data) >= 64]
    contents = [bytes(buffer.data) for buffer in large]
    places = [1 << 20] * len(large)  # as wide as the true ones, so that the tables keep their length
    for _ in range(2):
        for buffer, content, place in zip(large, contents, places, strict=True):
            buffer.data, buffer.offset, buffer.size = None, place, len(content)
        tables = flatbuffer.write(model)
        start = -(-len(tables) // 16) * 16
        starts = np.cumsum([0, *(-(-len(content) // 16) * 16 for content in contents)])
        places = [start + int(place) for place in starts[:-1]]
    whole = bytearray(tables.ljust(start, b"\0"))
    for content in contents:
        whole += content.ljust(-(-len(content) // 16) * 16, b"\0")
    path = tmp_path / "large.tflite"
    path.write_bytes(whole)
    assert_runs_as_in_the_plain_interpreter(path)
    assert tflite.inspect(path).sparsity == tflite.inspect(tflite_files["float32"]).sparsity
    assert tflite.check_nnapi(path).macs_share == 1.0
    path.write_bytes(whole[:-64])
    with pytest.raises(UserError, match="damaged"):
        tflite.inspect(path)


def test_a_detector_ends_in_a_custom_operator_that_the_runtime_has(tmp_path):
    """As SSD MobileNets do; its anchors are a constant, and it has four outputs."""
    options = {
        "max_detections": 3, "max_classes_per_detection": 1, "detections_per_class": 3, "use_regular_nms": False,
        "nms_score_threshold": 0.1, "nms_iou_threshold": 0.5, "num_classes": 2,
        "y_scale": 10.0, "x_scale": 10.0, "h_scale": 5.0, "w_scale": 5.0,
    }  # fmt: skip
    code = schema.OperatorCodeT(deprecatedBuiltinCode=32, builtinCode=32, customCode=b"TFLite_Detection_PostProcess")
    model = schema.ModelT(version=3, buffers=[schema.BufferT()], operatorCodes=[code])
    model.subgraphs = [schema.SubGraphT(tensors=[], operators=[])]
    graph, rng = flatbuffer.Graph(model), np.random.default_rng(0)
    kind = schema.TensorType.FLOAT32
    anchors = rng.uniform(0.2, 0.8, (6, 4)).astype(np.float32)
    inputs = [graph.add_tensor("boxes", (1, 6, 4), kind), graph.add_tensor("scores", (1, 6, 3), kind)]
    outputs = [graph.add_tensor("found", (), kind) for _ in range(4)]
    graph.operators.append(
        schema.OperatorT(
            inputs=np.array([*inputs, graph.add_tensor("anchors", (6, 4), kind, values=anchors)], np.int32),
            outputs=np.array(outputs, np.int32),
            customOptions=np.frombuffer(flatbuffers.flexbuffers.Dumps(options), np.uint8),
        )
    )
    model.subgraphs[0].inputs, model.subgraphs[0].outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
    path = tmp_path / "detector.tflite"
    path.write_bytes(flatbuffer.write(model))
    found = tflite.inspect(path)
    assert [operator.name for operator in found.operators] == ["TFLite_Detection_PostProcess"] and found.nodes == 1
    assert "TFLite_Detection_PostProcess" in str(tflite.check_nnapi(path)) and not tflite.check_gpu(path).ok
    (row,) = tflite.benchmark(path, warmup_runs=1, warmup_seconds=0, min_runs=3, min_seconds=0)
    assert row.median_ms > 0 and row.macs == 0
    with pytest.raises(UserError, match=r"no image classifier, inputs boxes.* float32 1×6×4, scores.*; outputs found"):
        tflite.evaluate(path, np.zeros((1, 32, 32, 3), np.uint8))


def texts(*words):
    """A constant of strings as the format stores it: their number, offsets, characters."""
    offsets = 4 * (len(words) + 2) + np.cumsum([0, *map(len, words)])
    return np.frombuffer(np.array([len(words), *offsets], np.int32).tobytes() + b"".join(words), np.uint8)


@pytest.mark.parametrize(("change", "reason"), [(None, ""), (0, "texts"), (4, "texts"), (12, "texts")])
def test_strings_lie_within_their_constant(changed, change, reason):
    def add(model, graph):
        data = texts(b"cat", b"doggy").copy()
        if change is not None:
            data[change : change + 4] = np.frombuffer(np.int32(1000).tobytes(), np.uint8)
        model.buffers.append(schema.BufferT(data=data))
        graph.tensors.append(
            schema.TensorT(np.array([2], np.int32), schema.TensorType.STRING, len(model.buffers) - 1, b"names")
        )

    path = changed(add)
    if not reason:
        assert_runs_as_in_the_plain_interpreter(path)
        return
    with pytest.raises(UserError, match=reason):
        tflite.check_nnapi(path)


def test_an_operator_that_no_runtime_has_is_listed_and_named(changed):
    def custom(model, graph):
        model.operatorCodes.append(
            schema.OperatorCodeT(deprecatedBuiltinCode=32, builtinCode=32, customCode=b"edgetpu-custom-op")
        )
        graph.operators[1].opcodeIndex = len(model.operatorCodes) - 1

    path = changed(custom)
    found = tflite.inspect(path)
    assert found.operators[1].name == "edgetpu-custom-op" and found.nodes is None
    assert "needs the operator edgetpu-custom-op" in str(found)
    assert "edgetpu-custom-op" in tflite.check_nnapi(path).summary and "edgetpu-custom-op" in str(
        tflite.check_gpu(path)
    )
    with pytest.raises(UserError, match="needs the operator edgetpu-custom-op, which this runtime lacks"):
        tflite.benchmark(path)


def test_operators_of_a_newer_version_are_named(changed):
    def newer(model, graph):
        model.operatorCodes[graph.operators[0].opcodeIndex].version = 99

    path = changed(newer)
    assert "CONV_2D of version 99" in tflite.inspect(path).delegation
    assert not tflite.check_nnapi(path).ok


def test_multiply_adds_of_other_layers(tmp_path):
    import keras
    import tensorflow as tf

    inputs = keras.Input((4, 8, 8, 3), batch_size=1)
    x = keras.layers.Conv3D(5, 3)(inputs)
    outputs = keras.layers.Conv3DTranspose(2, 2, strides=2)(x)
    path = tmp_path / "volume.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(keras.Model(inputs, outputs)).convert())
    assert file_macs(path) == 2 * 6 * 6 * 5 * 27 * 3 + 2 * 6 * 6 * 5 * 8 * 2
