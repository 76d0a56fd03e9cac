"""Qualcomm's compiler and its simulator: its report read, and (slow) the real ones asked."""

import subprocess

import numpy as np
import pytest

from keras_mobilenets import tflite
from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.runtime.interpreter import open_model
from keras_mobilenets.tflite.targets.accelerators import qualcomm
from keras_mobilenets.tflite.targets.accelerators.qualcomm_report import Report

# Two operators of five refused, as the compiler's standard error has it: one by the NPU's validator, one unknown.
REPORT = """\
INFO: [compiler_plugin.cc:947] Applying plugin with SDK version: v2.51.0.260929181845
ERROR: [qnn_manager.cc:470]
QNN op validation failed: 'Conv2d_16' (type=Conv2d)
  Inputs:
    [0] name="0_litert_120" dtype=QNN_DATATYPE_FLOAT_32 dims=[1,8,8,16] (no quantization)
    [1] name="5_qnn" dtype=QNN_DATATYPE_SFIXED_POINT_8 dims=[1,1,16,72] per-channel-quant
  Outputs:
    [0] name="4_qnn" dtype=QNN_DATATYPE_FLOAT_32 dims=[1,8,8,72] (no quantization)
  QNN error=3110. See the QNN validator log lines above for the specific reason.
ERROR: [qnn_compiler_plugin.cc:515]
LiteRT Op #1 'Conv2d' (code=3) is not supported in Qualcomm Compiler.
  Inputs:
    [0] name="block_0_project"  tensor_idx=120
ERROR: [qnn_compose_graph.cc:1680]
LiteRT Op #3 'Densify' (code=124) is not supported in Qualcomm Compiler.
INFO: [compiler_plugin.cc:741] Partitioned subgraph<0>, selected 3 ops, from a total of 5 ops. resulted in 2 partitions.
"""
VALIDATOR = """\
     0.0ms [ ERROR ]   <E> Unsupported input/output datatypes requested for the HTP Op 'Conv2d' in the node \
'Conv2d_16'. There is a mismatch for the combination of inputs and outputs.
     0.0ms [ ERROR ]   <E> Requested I/O datatype set:
   in[0]:QNN_DATATYPE_FL     0.0ms [ ERROR ]   <E> Supported I/O datatype sets for the configuration: BF16
     0.0ms [ ERROR ]   <E> QnnBackend_validateOpConfig failed 3110
     0.0ms [ ERROR ]   <E> Failed to validate op Conv2d_16 with error 0xc26
"""


def test_a_report_gives_operators_partitions_reasons_and_version():
    report = Report.read(REPORT, VALIDATOR)
    (graph,) = report.graphs
    assert (graph.selected, graph.total, graph.partitions) == (3, 5, 2)
    assert {i: refusal.reason for i, refusal in graph.refused.items()} == {
        1: "Conv2d of FLOAT_32, SFIXED_POINT_8 to FLOAT_32: "
        "Unsupported input/output datatypes requested for the HTP Op 'Conv2d'",
        3: "the compiler does not know this operator",
    }
    assert report.version == "v2.51.0.260929181845" and report.failure == ""
    graph.check("m.tflite", [3, 3, 0, 124, 25])


@pytest.mark.parametrize("codes", [[3, 3, 0, 124], [3, 4, 0, 124, 25], [3, 3, 0, 25, 124]])
def test_a_report_about_other_operators_than_the_files_is_refused(codes):
    (graph,) = Report.read(REPORT, VALIDATOR).graphs
    with pytest.raises(UserError, match="does not fit the file"):
        graph.check("m.tflite", codes)


def test_a_report_that_counts_more_refused_operators_than_it_names_is_refused():
    (graph,) = Report.read(REPORT.replace("selected 3 ops", "selected 2 ops"), VALIDATOR).graphs
    with pytest.raises(UserError, match="does not fit the file"):
        graph.check("m.tflite", [3, 3, 0, 124, 25])


def test_a_compiler_that_fails_says_why():
    failed = "ERROR: [Qnn] failed to call device create, 14001\nERROR: [apply_plugin.cc:455] ERROR: [x.cc:482]\n"
    report = Report.read(failed, "")
    assert report.graphs == () and report.failure == "failed to call device create, 14001"


def test_a_chip_that_the_compiler_does_not_know_is_one_line_with_those_that_it_knows(tflite_files):
    with pytest.raises(UserError, match=r"^unknown variant 'SM1'.*SM8350.*SM8850.*SA8295"):
        tflite.check(tflite_files["int8"], "qualcomm:SM1")


def test_without_the_environment_the_line_says_how_to_get_it(tflite_files, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_MOBILENETS_TARGETS", str(tmp_path))
    with pytest.raises(UserError, match=r"keras-mobilenets targets --install qualcomm$"):
        tflite.check(tflite_files["int8"], "qualcomm:SM8750")


@pytest.fixture
def installed():
    if missing := qualcomm.ENVIRONMENT.missing():
        pytest.skip(missing)


@pytest.fixture(scope="module")
def shapes():
    from keras_mobilenets import training

    return training.load_data("shapes", image_size=64, batch_size=64)


@pytest.fixture(scope="module", params=[("MobileNetV2", 10), ("MobileNetV3Small", 8)], ids=lambda param: param[0])
def model(request, shapes):
    """A network trained for some epochs: a random one says the same of all images."""
    import keras

    import keras_mobilenets as km
    from keras_mobilenets import training

    name, epochs = request.param
    keras.utils.set_random_seed(0)
    model = km.create_model(name, input_shape=(64, 64, 3), alpha=0.35, classes=10)
    training.fit(model, shapes, training.Recipe(epochs=epochs))
    return model


@pytest.mark.slow
def test_the_chips_are_those_that_litert_names(installed):
    question = "import json; from ai_edge_litert.aot.vendors.qualcomm.target import SocModel; print(*SocModel)"
    done = subprocess.run(
        [qualcomm.ENVIRONMENT.python, "-I", "-c", question], capture_output=True, check=True, text=True
    )
    assert set(qualcomm.SOCS) == set(done.stdout.split()) - {"ALL"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("quantize", "target", "agreement"),
    [("int8", "litert", 0.85), ("int8", "qualcomm", 0.85), ("int16x8", "qualcomm", 0.98)],
)
def test_the_npu_takes_a_model_whole_and_answers_as_the_cpu_does(
    installed, model, shapes, tmp_path, quantize, target, agreement
):
    path = tflite.convert(model, tmp_path / "m.tflite", quantize=quantize, calibration=shapes.train, target=target)
    check = tflite.check(path, "qualcomm:SM8750")
    assert check.ok and check.macs_share == 1 and check.evidence == "compiler"
    assert "SM8750" in check.system and "2.2.0" in check.system
    there = tflite.evaluate(path, shapes.test, on="qualcomm:SM8750", limit=64)
    assert there.agreement >= agreement
    assert len(set(there.predictions.argmax(axis=1))) == 10
    assert there.top1 > 0.4  # of ten classes


@pytest.mark.slow
def test_an_operator_that_the_compiler_refuses_is_named_with_its_reason_and_nothing_is_run(installed, tflite_files):
    check = tflite.check(tflite_files["dynamic"], "qualcomm:SM8650")
    assert not check.ok and check.partitions >= 1
    assert {operator.name for operator in check.refused} == {"CONV_2D", "FULLY_CONNECTED"}  # those of int8 weights
    assert all(" of FLOAT_32, SFIXED_POINT_8" in operator.reason for operator in check.refused)
    inputs = np.zeros((1, 32, 32, 3), np.float32)
    with pytest.raises(UserError, match=r"does not run on the simulator alone: .*CONV_2D refused \(Conv2d of"):
        qualcomm.run(tflite_files["dynamic"], inputs, "SM8650")


@pytest.mark.slow
def test_files_of_the_stock_converter_run_too_in_float_and_int8(installed, tflite_files, pixels):
    for name, tolerance in (("float32", 0.02), ("int8", 3)):
        model = open_model(tflite_files[name])
        floats = (pixels[:8] / 127.5 - 1).astype(np.float32)
        inputs = floats if name == "float32" else (pixels[:8].astype(np.int16) - 128).astype(np.int8)
        there = qualcomm.run(tflite_files[name], inputs, "SM8550")
        here = np.stack([model.run(image[None])[0] for image in inputs])
        assert there.dtype == here.dtype and there.shape == here.shape
        assert np.abs(there.astype(np.float64) - here).max() <= tolerance


@pytest.mark.slow
def test_one_chip_has_a_simulated_time_which_grows_with_the_model(installed, tmp_path):
    import keras

    times = []
    for filters in (64, 512):
        inputs = keras.Input(batch_shape=(1, 64, 64, 3))
        x = keras.layers.Conv2D(filters, 3, strides=2, padding="same")(inputs)
        x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(filters, 3, padding="same")(x))
        images = np.random.default_rng(0).uniform(-1, 1, (8, 64, 64, 3)).astype(np.float32)
        path = tflite.convert(
            keras.Model(inputs, keras.layers.Dense(7)(x)),
            tmp_path / "m.tflite",
            quantize="int8",
            effort="low",
            calibration=images,
        )
        times.append(tflite.check(path, "qualcomm:SA8255").estimate_ms)
    assert 0 < 4 * times[0] < times[1] < 100  # 64 times the multiply-adds
    assert tflite.check(path, "qualcomm:SM8750").estimate_ms is None
