"""What Vela says of our files, and how it is read. The compiler itself: Arm's, in an environment of its own."""

import keras
import numpy as np
import pytest
from networks import randomize

import keras_mobilenets as km
from keras_mobilenets import tflite
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.targets.accelerators import ethos_u

needs_vela = pytest.mark.skipif(not ethos_u.ENVIRONMENT.is_ready(), reason=ethos_u.ENVIRONMENT.missing())

# Vela 5.2.0 of a float32 MobileNetV1 whose tensors are numbered, shortened.
RECORDED = """
Warning (supported operators) operator: FULLY_CONNECTED, ofm: '0.87'
Reason: Operation has tensor with unsupported DataType Float32 (0.86)
Feature-map dataTypes must be one of {"INT16", "INT32", "INT64", "INT8", "UINT8"}

Warning (supported operators) operator: RELU6, ofm: '0.59'
Reason: Operation has tensor with unsupported DataType Float32 (0.59_act)
Feature-map dataTypes must be one of {"INT16", "INT32", "INT64", "INT8", "UINT8"}

Warning (supported operators) operator: CONV_2D, ofm: '0.59_act'
Reason: Operation has tensor with unsupported DataType Float32 (0.0)
Feature-map dataTypes must be one of {"INT16", "INT32", "INT64", "INT8", "UINT8"}

Warning (supported operators) operator: DEQUANTIZE, ofm: '1.4'
Reason: Unsupported opType

Network summary for numbered
Accelerator configuration               Ethos_U55_128
"""
FLOAT = (
    "Operation has tensor with unsupported DataType Float32; "
    'Feature-map dataTypes must be one of {"INT16", "INT32", "INT64", "INT8", "UINT8"}'
)


def test_reasons_are_read_by_the_number_of_the_tensor():
    # An activation inside of a convolution is an operator of its own for Vela, and one with it for us.
    assert ethos_u.reasons(RECORDED) == {"0.87": FLOAT, "0.59": FLOAT, "1.4": "Unsupported opType"}
    assert ethos_u.reasons("Network summary for numbered\n") == {}


@pytest.mark.slow
@needs_vela
@pytest.mark.parametrize(
    ("target", "system"),
    [
        ("ethos-u55-128", "Ethos_U55_High_End_Embedded, Shared_Sram, 500 MHz"),
        ("ethos-u65-512", "Ethos_U65_Client_Server, Dedicated_Sram_384KB, 1000 MHz"),
        ("ethos-u85-256", "Ethos_U85_SYS_DRAM_Mid, Dedicated_Sram_384KB, 1000 MHz"),
    ],
)
def test_an_int8_model_is_one_partition(tflite_files, target, system):
    check = tflite.check(tflite_files["int8"], target)
    assert check.ok and (check.total, check.partitions, check.macs_share) == (6, 1, 1.0)
    assert check.evidence == "compiler" and check.system == f"Vela 5.2.0, {target}, {system}"
    megahertz = int(system.split()[-2])
    assert check.cycles / megahertz / 1000 == pytest.approx(check.estimate_ms, rel=1e-3)
    assert 16 * 16 * 160 <= check.memory["SRAM"] < 100_000  # the largest activation, and what lies beside it
    assert f"{check.cycles:,} cycles" in str(check) and f"{check.estimate_ms:.3f} ms, not measured" in str(check)


@pytest.mark.slow
@needs_vela
def test_more_multipliers_take_less_time(tflite_files):
    slow, fast = (tflite.check(tflite_files["int8"], target) for target in ("ethos-u55-32", "ethos-u55-256"))
    assert slow.estimate_ms > 1.5 * fast.estimate_ms


@pytest.mark.slow
@needs_vela
@pytest.mark.parametrize("kind", ["float32", "dynamic"])
def test_float_operators_are_refused_with_velas_reason(tflite_files, kind):
    check = tflite.check(tflite_files[kind], "ethos-u55-128")
    assert (check.delegated, check.partitions, check.macs_share) == (0, 0, 0.0)
    assert check.estimate_ms is None and check.cycles is None
    assert "unsupported DataType Float32" in {op.name: op.reason for op in check.operators}["CONV_2D"]


@pytest.fixture(scope="module")
def with_float_block(tmp_path_factory):
    """An int8 MobileNetV2 in which one convolution is left in float."""
    keras.utils.set_random_seed(0)
    model = randomize(km.MobileNetV2((64, 64, 3), 0.35, classes=10), kernels=True)
    images = np.random.default_rng(0).integers(0, 256, (16, 64, 64, 3)).astype(np.uint8)
    path = tmp_path_factory.mktemp("ethos_u") / "m.tflite"
    return tflite.convert(
        model, path, quantize="int8", effort="low", calibration=images, leave_in_float=["block_2_expand"]
    )


@pytest.mark.slow
@needs_vela
def test_operators_in_float_split_the_model(with_float_block):
    check = tflite.check(with_float_block, "ethos-u55-128")
    model = flatbuffer.read(with_float_block.read_bytes())
    graph = model.subgraphs[0]
    in_float = [
        (place, flatbuffer.operator_name(model, operator))
        for place, operator in enumerate(graph.operators)
        if any(flatbuffer.type_name(graph.tensors[tensor].type) == "float32" for tensor in operator.outputs)
        or any(flatbuffer.type_name(graph.tensors[tensor].type) == "float32" for tensor in operator.inputs)
    ]
    assert [name for _, name in in_float] == ["DEQUANTIZE", "CONV_2D", "QUANTIZE"]
    assert [(op.index, op.name) for op in check.refused] == in_float
    assert check.partitions == 2 and check.estimate_ms is None
    float_macs = 16 * 16 * 8 * 48  # a pointwise convolution from 8 to 48 channels
    assert 1 - check.macs_share == pytest.approx(float_macs / check.macs)


@pytest.mark.slow
@needs_vela
def test_tensors_of_one_name_are_told_apart(with_float_block, tmp_path):
    model = flatbuffer.read(with_float_block.read_bytes())
    for tensor in model.subgraphs[0].tensors:
        tensor.name = b"x"
    path = tmp_path / "same.tflite"
    path.write_bytes(flatbuffer.write(model))
    found, expected = (tflite.check(p, "ethos-u55-128") for p in (path, with_float_block))
    assert found.operators == expected.operators
