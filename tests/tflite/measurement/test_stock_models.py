"""keras.applications' models through the stock converter: that they are the counterparts of ours, and the ratios."""

import numpy as np
import pytest

import keras_mobilenets as km
from keras_mobilenets import tflite
from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.graph.macs import file_macs
from keras_mobilenets.tflite.measurement.stock_models import convert_stock_models, keras_applications, with_stock_ratios
from keras_mobilenets.tflite.results.results import Row

ASKED = {"builder": "MobileNetV1", "arguments": {"alpha": 0.25, "dropout_rate": 0.1}, "size": 32, "classes": 5}


@pytest.fixture(scope="module")
def peers(tmp_path_factory):
    return convert_stock_models(
        tmp_path_factory.mktemp("run") / "peers", quantizations=["none", "int8", "int8"], **ASKED
    )


@pytest.mark.parametrize(
    ("builder", "arguments"),
    [("MobileNetV1", {"alpha": 0.5}), ("MobileNetV2", {"alpha": 0.35}), ("MobileNetV3Small", {"dropout_rate": 0.0})],
)
def test_the_counterpart_has_as_many_parameters_as_ours(builder, arguments):
    ours = km.create_model(builder, input_shape=(32, 32, 3), classes=5, **arguments)
    assert keras_applications(builder, (32, 32, 3), 5, **arguments).count_params() == ours.count_params()


@pytest.mark.parametrize(
    ("builder", "arguments"), [("MobileNetV4ConvSmall", {}), ("MobileNetV2", {"stem_strides": 1}), ("ResNet18", {})]
)
def test_a_model_without_counterpart_is_refused(builder, arguments):
    with pytest.raises(UserError, match=f"no counterpart of {builder}"):
        keras_applications(builder, (32, 32, 3), 5, **arguments)


@pytest.mark.slow
def test_a_peer_is_written_for_each_quantization_and_kept(peers):
    assert [path.name for path in peers] == [
        "keras.applications.MobileNet_float32.tflite",
        "keras.applications.MobileNet_int8.tflite",
    ]
    ours = km.create_model("MobileNetV1", input_shape=(32, 32, 3), classes=5, alpha=0.25)
    assert {file_macs(path) for path in peers} == {km.cost(ours).macs}
    times = [path.stat().st_mtime_ns for path in peers]
    again = convert_stock_models(peers[0].parent, quantizations=["int8", "none"], **ASKED)
    assert [path.stat().st_mtime_ns for path in again[::-1]] == times


@pytest.mark.slow
def test_int8_peers_are_int8_from_end_to_end_and_still_tell_inputs_apart(peers):
    found = tflite.inspect(peers[1])
    assert found.inputs[0].dtype == found.outputs[0].dtype == "int8" and not found.float_islands
    from keras_mobilenets.tflite.runtime.interpreter import open_model

    model, rng = open_model(peers[1]), np.random.default_rng(0)
    images = rng.integers(-128, 128, (2, 1, 32, 32, 3)).astype(np.int8)
    assert np.isfinite(model.dequantize(model.run(images[0]))).all()


def test_ratios_are_between_rows_of_the_same_quantization_and_threads():
    mine = [Row("a", "int8", "xnnpack", 1, median_ms=1.0), Row("a", "int8", "xnnpack", 2, median_ms=1.0)]
    mine += [Row("a", "float16", "xnnpack", 1, median_ms=1.0)]
    theirs = [Row("b", "int8", "xnnpack", 1, median_ms=4.0), Row("b", "int8", "xnnpack", 2, median_ms=2.0)]
    assert [row.peer_ratio for row in with_stock_ratios(mine, theirs)] == [0.25, 0.5, None]
