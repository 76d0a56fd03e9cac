"""TensorFlow Lite Micro: bit for bit what the reference kernels give, its arena, and what it says where it fails."""

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

import keras_mobilenets as km
from keras_mobilenets import tflite, training
from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.graph.part import part
from keras_mobilenets.tflite.targets.accelerators import ethos_u, micro
from keras_mobilenets.tflite.targets.delegate_graph import Node, Operand
from keras_mobilenets.training.engine.batch_normalization import estimate_statistics

needs_micro = pytest.mark.skipif(not micro.ENVIRONMENT.is_ready(), reason=micro.ENVIRONMENT.missing())

# tflite-micro 0.dev20261023182759, a MobileNetV1 of alpha 0.25 at 96 pixels, shortened.
ALLOCATIONS = """\
[RecordingMicroAllocator] Arena allocation total 103520 bytes
[RecordingMicroAllocator] Arena allocation head 73728 bytes
[RecordingMicroAllocator] Arena allocation tail 29792 bytes
[RecordingMicroAllocator] 'TfLiteEvalTensor data' used 2088 bytes with alignment overhead (requested 2088 bytes)
"""
LACKING = "Didn't find op for builtin opcode 'DENSIFY'\nFailed to get registration from op code DENSIFY\n \n"
HYBRID = """\
tensorflow/lite/micro/kernels/conv_common.cc Hybrid models are not supported on TFLite Micro.
Node CONV_2D (number 6) failed to prepare with status 1
"""
OVERFLOW = """\
tensorflow/lite/micro/kernels/kernel_util.cc:55 no_integer_overflow_from_quantization was not true.
Node DEPTHWISE_CONV_2D (number 3) failed to prepare with status 1
"""


def tensor(*scales):
    return Operand("int8", (1, 4), False, scales, 0)


ADD = Node("ADD", 1, None, (tensor(0.0103), tensor(0.00964), None), (tensor(1.03e-14),))
CONVOLUTION = Node("CONV_2D", 1, None, (tensor(0.5), tensor(0.25, 2.0)), (tensor(1.0),))


def test_the_arena_is_read():
    assert micro.arena_bytes(ALLOCATIONS) == 103520
    with pytest.raises(UserError, match="take the pinned one"):
        micro.arena_bytes("nothing of the kind")


@pytest.mark.parametrize(
    ("status", "log", "node", "reason", "source"),
    [
        (0, ALLOCATIONS, ADD, "", ""),
        (1, LACKING, ADD, "TensorFlow Lite Micro lacks this operator", ""),
        (1, HYBRID, CONVOLUTION, "Hybrid models are not supported on TFLite Micro.", "conv_common.cc"),
        (1, OVERFLOW, ADD, "no_integer_overflow_from_quantization was not true.", "kernel_util.cc:55"),
        (1, "", ADD, "it fails and does not say why", ""),
        (-6, "", ADD, "crashes (signal 6) with its input scales 0.0103, 0.00964 and output scales 1.03e-14;", ""),
        (-6, "", CONVOLUTION, "with its input scales 0.5, 0.25 to 2 and output scales 1;", ""),
    ],
)
def test_the_end_of_a_trial_is_read(status, log, node, reason, source):
    found = micro.refusal(status, log, node)
    assert reason in found[0] and bool(reason) == bool(found[0]) and found[1] == source


def on_reference_kernels(path, images):
    """Raw outputs for images in the input's dtype, and the bytes of all tensors after the last."""
    model = Interpreter(
        str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_REF, experimental_preserve_all_tensors=True
    )
    model.allocate_tensors()
    source, sink = model.get_input_details()[0]["index"], model.get_output_details()[0]["index"]
    answers = []
    for image in images:
        model.set_tensor(source, image[None])
        model.invoke()
        answers.append(model.get_tensor(sink)[0].copy())
    return np.stack(answers), model


def test_operators_alone_compute_what_they_compute_together(tflite_files, tmp_path):
    image = np.random.default_rng(0).integers(-128, 128, (1, 32, 32, 3)).astype(np.int8)
    model = flatbuffer.read(tflite_files["int8"].read_bytes())
    _, whole = on_reference_kernels(tflite_files["int8"], image)
    for operator in model.subgraphs[0].operators:
        path = tmp_path / "one.tflite"
        path.write_bytes(flatbuffer.write(part(model, model.subgraphs[0], [operator], operator.outputs)[0]))
        answer, _ = on_reference_kernels(path, [whole.get_tensor(operator.inputs[0])[0]])
        np.testing.assert_array_equal(answer, whole.get_tensor(operator.outputs[0]))
    assert flatbuffer.write(model) == flatbuffer.write(flatbuffer.read(tflite_files["int8"].read_bytes()))


def quantized_noise(count, size):
    return np.random.default_rng(1).integers(-128, 128, (count, size, size, 3)).astype(np.int8)


@pytest.mark.slow
@needs_micro
def test_a_trained_mobilenet_is_bit_equal_to_the_reference_kernels(tmp_path, capsys):
    data = training.load_data("shapes", image_size=96, batch_size=32, limit=4000)
    keras.utils.set_random_seed(0)
    model = km.MobileNetV1((96, 96, 3), 0.25, classes=10)
    training.fit(model, data, training.Recipe(epochs=5, learning_rate=4e-3, augmentation="none"))
    calibration, _ = data.images("train", 100, seed=0)
    path = tflite.convert(model, tmp_path / "m.tflite", quantize="int8", effort="low", calibration=calibration)
    pixels, labels = data.images("test", 100, seed=0)
    there = tflite.evaluate(path, (pixels, labels), on="micro")
    images = (pixels.astype(np.int16) - 128).astype(np.int8)
    expected, _ = on_reference_kernels(path, images)
    found = micro.run(path, images)
    np.testing.assert_allclose(found, expected, atol=2)  # it rounds the sums of a dense layer per channel twice
    model = flatbuffer.read(path.read_bytes())
    body = model.subgraphs[0].operators[:-2]
    pooled = tmp_path / "pooled.tflite"
    pooled.write_bytes(flatbuffer.write(part(model, model.subgraphs[0], body, body[-1].outputs)[0]))
    np.testing.assert_array_equal(micro.run(pooled, images), on_reference_kernels(pooled, images)[0])
    # Answers that differ, and more right than the 10% of chance; XNNPACK decides close calls otherwise than they do.
    assert len(np.unique(expected, axis=0)) > 50 and there.top1 > 0.15 and there.agreement > 0.8
    check = tflite.check(path, "micro")
    assert check.ok and (check.total, check.evidence) == (30, "run")
    # What the first pointwise convolution reads and what it writes lie there at once.
    assert 48 * 48 * (8 + 16) <= check.memory["arena"] < 150_000
    with capsys.disabled():
        print(f"\nMobileNetV1 0.25 at 96 pixels: {there}; arena {check.memory['arena']:,} bytes; ", end="")
        if ethos_u.ENVIRONMENT.is_ready():
            npu = tflite.check(path, "ethos-u55-128")
            assert npu.ok and 0.6 < npu.estimate_ms < 0.9  # 0.738 ms and 73 KiB were seen for another of its kind
            assert npu.memory["SRAM"] == pytest.approx(73 * 1024, rel=0.02)
            print(f"{npu.estimate_ms:.3f} ms by {npu.system}")
        else:
            print(ethos_u.ENVIRONMENT.missing())


@pytest.fixture(scope="module")
def convert(tmp_path_factory):
    """Writes a small int8 network for a target."""
    images = np.random.default_rng(0).integers(0, 256, (16, 64, 64, 3)).astype(np.uint8)

    def run(builder, target):
        keras.utils.set_random_seed(0)
        model = km.create_model(builder, input_shape=(64, 64, 3), alpha=0.35, classes=10)
        estimate_statistics(model, km.preprocess_input(images))  # so that images are told apart
        path = tmp_path_factory.mktemp("micro") / f"{builder}_{target}.tflite"
        return tflite.convert(model, path, quantize="int8", effort="low", calibration=images, target=target)

    return run


@pytest.fixture(scope="module")
def small(convert):
    return convert("MobileNetV3Small", "xnnpack")


@pytest.mark.slow
@needs_micro
@pytest.mark.parametrize("builder", ["MobileNetV2", "MobileNetV3Small"])
def test_networks_are_bit_equal_to_the_reference_kernels(convert, builder):
    path, images = convert(builder, "nnapi"), quantized_noise(4, 64)
    expected, _ = on_reference_kernels(path, images)
    np.testing.assert_array_equal(micro.run(path, images), expected)
    assert len(np.unique(expected, axis=0)) == 4


@pytest.mark.slow
@needs_micro
def test_dense_layers_per_channel_are_at_most_two_steps_apart(small):
    # TensorFlow Lite Micro rounds their sums twice.
    images = quantized_noise(16, 64)
    expected, _ = on_reference_kernels(small, images)
    assert np.abs(micro.run(small, images).astype(int) - expected).max() <= 2


@pytest.mark.slow
@needs_micro
def test_the_arena_is_the_smallest_that_does(tflite_files):
    path = tflite_files["int8"]
    arena = tflite.check(path, "micro").memory["arena"]
    micro._ask(path, {"path": path, "arena": arena})
    with pytest.raises(UserError, match="failed"):
        micro._ask(path, {"path": path, "arena": arena - 64})


@pytest.mark.slow
@needs_micro
def test_operators_that_it_does_not_run_are_named(tflite_files, tmp_path):
    check = tflite.check(tflite_files["dynamic"], "micro")
    assert not check.ok and (check.partitions, check.memory) == (0, {})
    assert {op.name: op.reason for op in check.refused}["CONV_2D"] == "Hybrid models are not supported on TFLite Micro."
    model = flatbuffer.read(tflite_files["int8"].read_bytes())
    for code in model.operatorCodes:
        if code.builtinCode == schema.BuiltinOperator.SOFTMAX:
            code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.DENSIFY
    path = tmp_path / "lacking.tflite"
    path.write_bytes(flatbuffer.write(model))
    check = tflite.check(path, "micro")
    assert [(op.index, op.reason) for op in check.refused] == [(5, "TensorFlow Lite Micro lacks this operator")]
    with pytest.raises(UserError, match="DENSIFY refused"):
        micro.run(path, quantized_noise(1, 32))


@pytest.mark.slow
@needs_micro
def test_a_scale_far_too_small_is_a_line_and_no_abort(small, tmp_path):
    model = flatbuffer.read(small.read_bytes())
    graph = flatbuffer.Graph(model)
    place = next(place for place, operator in enumerate(graph.operators) if graph.name(operator) == "ADD")
    scaled = graph.tensors[graph.operators[place].outputs[0]].quantization
    scaled.scale = (np.asarray(scaled.scale) * 1e-12).astype(np.float32)
    path = tmp_path / "tiny.tflite"
    path.write_bytes(flatbuffer.write(model))
    check = tflite.check(path, "micro")
    assert [op.index for op in check.refused] == [place]
    assert f"output scales {scaled.scale[0]:.3g}" in check.summary and "\n" not in check.summary
