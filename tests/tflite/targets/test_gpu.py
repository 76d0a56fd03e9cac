"""What the GPU delegate takes: whole models, each kind of refusal, and the warning of `convert`."""

import subprocess
import sys
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

import keras_mobilenets as km
from keras_mobilenets import cli, tflite, training
from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.targets import gpu
from keras_mobilenets.tflite.targets.accelerators.environments import ENVIRONMENTS
from keras_mobilenets.tflite.targets.delegate_graph import Node, Operand, graph_of
from keras_mobilenets.tflite.targets.operator_forms import FORMS, Forms

IMAGE = Operand("float32", (1, 8, 8, 4), constant=False, scales=(), zero_point=0)


def _operand(*shape, dtype="float32", constant=False):
    return Operand(dtype, shape, constant, (), 0)


def _node(name, *inputs, version=1, output=IMAGE, **options):
    return Node(name, version, type("Options", (), options)(), inputs, (output,))


WEIGHTS = _operand(4, 3, 3, 4, constant=True)
AXES = _operand(2, dtype="int32", constant=True)
TAKEN = [
    _node("CONV_2D", IMAGE, WEIGHTS, version=6),
    _node("ADD", IMAGE, IMAGE, version=2),
    _node("ADD", IMAGE, _operand(4, constant=True)),
    _node("MUL", IMAGE, _operand(1, 1, 1, 4), version=3),
    _node("MEAN", IMAGE, AXES, version=2),
    _node("DEPTHWISE_CONV_2D", IMAGE, _operand(1, 3, 3, 4, constant=True)),
    _node("FULLY_CONNECTED", _operand(1, 4), _operand(7, 4, constant=True), version=9, keepNumDims=False),
    _node("PAD", IMAGE, _operand(4, 2, dtype="int32", constant=True)),
    _node("SOFTMAX", _operand(1, 7), beta=1.0),
    _node("STRIDED_SLICE", IMAGE, AXES, AXES, AXES),
    _node("HARD_SWISH", IMAGE),
]
# What TensorFlow 2.14's source refuses or says nothing of, and LiteRT's delegate was seen to take (gpu_operators.py).
SEEN = [
    _node("ARG_MAX", IMAGE, AXES, output=_operand(1, 8, 8, dtype="int32")),
    _node("CAST", _operand(1, 8, dtype="int32")),
    _node("DEPTHWISE_CONV_2D", IMAGE, _operand(1, 3, 3, 8, constant=True)),
    _node("GATHER", IMAGE, AXES),
    _node("MUL", _operand(1, 8, 1, 4), _operand(1, 1, 8, 4)),
    _node("SELECT_V2", _operand(1, 8, 8, 4, dtype="bool"), IMAGE, IMAGE),
    _node("STRIDED_SLICE", _operand(1, 7), AXES, AXES, AXES),
    _node("TOPK_V2", _operand(1, 7), _operand(dtype="int32", constant=True)),
]
REFUSED = [
    _node("CONV_2D", IMAGE, WEIGHTS, version=7),
    _node("ARG_MAX", IMAGE, AXES, output=_operand(1, 8, 8, dtype="int64")),
    _node("ARG_MIN", IMAGE, AXES),
    _node("GATHER", IMAGE, _operand(dtype="int32", constant=True)),
    _node("GATHER_ND", IMAGE, AXES),
    _node("CUMSUM", IMAGE, AXES, reverse=True),
    _node("LOGICAL_AND", IMAGE, _operand(4, dtype="bool", constant=True)),
    _node("ADD", IMAGE, _operand(8, 4), version=3),
    _node("ADD", IMAGE, _operand(3, 4)),
    _node("ADD", IMAGE, IMAGE, version=3),
    _node("SUB", IMAGE, IMAGE),
    _node("BATCH_MATMUL", IMAGE, IMAGE),
    _node("CONV_2D", IMAGE, _operand(8, 3, 3, 2, constant=True)),
    _node("FULLY_CONNECTED", IMAGE, _operand(7, 256, constant=True)),
    _node(
        "ADD",
        *(_operand(*shape, dtype="int8", constant=len(shape) == 4) for shape in ((1, 7), (1, 1, 1, 1))),
        output=_operand(1, 7, dtype="int8"),
    ),
    _node("MEAN", IMAGE, _operand(2, dtype="int32")),
    _node("MEAN", IMAGE, _operand(2, dtype="int64", constant=True)),
    _node("DEPTHWISE_CONV_2D", _operand(1, 8, 4), _operand(1, 3, 3, 8, constant=True)),
    _node("FULLY_CONNECTED", _operand(1, 4), _operand(7, 4, constant=True), version=12),
    _node("FULLY_CONNECTED", _operand(1, 4, constant=True), _operand(7, 4)),
    _node("FULLY_CONNECTED", IMAGE, _operand(7, 4, constant=True), output=_operand(64, 7), keepNumDims=True),
    _node("PAD", IMAGE, _operand(2, 2, dtype="int32", constant=True)),
    _node("SOFTMAX", _operand(1, 7), beta=2.0),
    _node("STRIDED_SLICE", IMAGE, AXES, AXES, AXES, shrinkAxisMask=1),
    _node("STRIDED_SLICE", _operand(1, 7), AXES, AXES, AXES, newAxisMask=1),
    _node("RESHAPE", _operand(1, 2, 2, 2, 4), AXES),
    _node("LOGISTIC", _operand(1, 8, dtype="int32")),
    _node("SUB", IMAGE, IMAGE, IMAGE),
    _node("RESIZE_BILINEAR", IMAGE, AXES, alignCorners=True, halfPixelCenters=True),
    _node("DEQUANTIZE", _operand(4, dtype="int16")),
]


@pytest.mark.parametrize("node", TAKEN, ids=lambda node: node.name)
def test_supported(node):
    assert gpu.refusal(node)[0] == ""


@pytest.mark.parametrize("node", SEEN, ids=lambda node: node.name)
def test_what_litert_takes_beyond_the_source_is_dated(node):
    assert gpu.refusal(node) == ("", "LiteRT 2.3, run 2026-11-30")


@pytest.mark.parametrize("node", REFUSED, ids=lambda node: node.name)
def test_refused(node):
    assert gpu.refusal(node)[0]


@pytest.mark.slow
def test_the_rules_and_the_delegate_agree_on_each_operator():
    if missing := ENVIRONMENTS["gpu"].missing():
        pytest.skip(missing)
    program = Path(__file__).parents[2] / "benchmarks" / "latency" / "gpu_operators.py"
    table = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, check=False)
    rows = [line for line in table.stdout.splitlines() if line.startswith("| ")][2:]
    assert len(rows) > 150 and sum(row.endswith("| ok | right |") for row in rows) > 100
    assert [row for row in rows if "differs" in row] == [] and table.returncode == 0


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return km.MobileNetV3Small((64, 64, 3), 0.35, classes=10)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3)).astype(np.uint8)


@pytest.mark.parametrize("quantize", ["none", "float16", "int8"])
def test_models_are_fully_delegated_without_a_warning(model, images, quantize, tmp_path):
    given = {"calibration": images, "effort": "low"} if quantize == "int8" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("error", tflite.TargetWarning)
        path = tflite.convert(model, tmp_path / "m.tflite", quantize=quantize, target="gpu", **given)
    check = tflite.check_gpu(path)
    assert check.ok and (check.partitions, check.macs_share) == (1, 1.0)
    assert check.summary.endswith("operators delegated in 1 partition by the GPU delegate")


def test_only_the_largest_partition_is_delegated(model, images, tmp_path):
    path = tflite.convert(model, tmp_path / "m.tflite", quantize="int8", effort="low", calibration=images, target="gpu")
    changed = flatbuffer.read(path.read_bytes())
    graph = flatbuffer.Graph(changed)
    places = [place for place, operator in enumerate(graph.operators) if graph.name(operator) == "HARD_SWISH"]
    graph.tensors[graph.operators[places[3]].inputs[0]].type = schema.TensorType.INT16
    check = gpu.GpuCheck(path, **gpu.judge(graph_of(changed), 1, gpu.refusal))
    assert not check.ok and check.partitions == 2
    refused = {operator.index for operator in check.refused}
    assert places[3] in refused and (min(refused) == 0 or max(refused) == len(graph.operators) - 1)
    assert "in small partitions" in check.summary and "tensor of int16" in check.summary


def test_what_is_no_model_is_one_line(tmp_path):
    (tmp_path / "m.tflite").write_bytes(b"nothing of the kind")
    with pytest.raises(UserError, match=r"not a \.tflite file"):
        tflite.check_gpu(tmp_path / "m.tflite")


# The warning of `convert`


def test_convert_says_what_nnapi_leaves(model, tmp_path):
    with pytest.warns(tflite.TargetWarning, match=r"^m.tflite is not fully delegated: NNAPI, \d+ of \d+ .*") as said:
        tflite.convert(model, tmp_path / "m.tflite", quantize="dynamic")
    (warning,) = (found for found in said if found.category is tflite.TargetWarning)
    assert "\n" not in str(warning.message)
    assert warning.filename == __file__


def test_convert_says_what_xnnpack_leaves(model, images, monkeypatch, tmp_path):
    monkeypatch.setitem(FORMS, "xnnpack", Forms(per_channel_dense=True))
    with pytest.warns(
        tflite.TargetWarning,
        match=r"XNNPACK, \d+ of \d+ operators delegated in \d+ partitions: HARD_SWISH refused .* ×19",
    ):
        tflite.convert(
            model, tmp_path / "m.tflite", quantize="int8", effort="low", calibration=images, target="xnnpack"
        )


def test_convert_says_what_stays_in_float_of_a_quantization_aware_model(images, tmp_path):
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(16, 3, strides=2, padding="same", activation="relu6")(x)
    x = keras.layers.Conv2D(64, 1, activation="gelu", name="odd")(x)
    x = keras.layers.Conv2D(64, 1, activation="relu6")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    plain = keras.Model(inputs, keras.layers.Dense(10, activation="softmax")(x))
    aware = training.quantize_aware(plain, calibration=km.preprocess_input(images[:, :32, :32]))
    with pytest.warns(tflite.TargetWarning):
        path = tflite.convert(aware, tmp_path / "m.tflite")
    assert tflite.inspect(path).float_islands


def test_the_command_line_says_both_in_plain_lines(model, tmp_path, capsys):
    model.save(tmp_path / "m.keras")
    with pytest.warns(tflite.TargetWarning, match="m_dynamic.tflite is not fully delegated: NNAPI"):
        assert cli.main(["convert", str(tmp_path / "m.keras"), "--quantize", "dynamic", "--out", str(tmp_path)]) == 0
    with cli.plain_warnings():
        line = warnings.formatwarning(tflite.TargetWarning("one\n two"), tflite.TargetWarning, "file.py", 7)
    assert line == "keras-mobilenets: one two\n"
    assert cli.main(["inspect", str(tmp_path / "m_dynamic.tflite"), "--gpu"]) == 0
    assert "GPU delegate     by the source of TensorFlow 2.14" in capsys.readouterr().out
