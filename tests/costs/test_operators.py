import numpy as np
import pytest

import keras_mobilenets as km
from keras_mobilenets.costs.operators import operators, spec_cost
from keras_mobilenets.models.mobilenets.searched import mobilenet_v2_spec
from keras_mobilenets.models.mobilenets.spec import Spec, Stage

MIXED = Spec(
    (
        Stage(16, 1, 1, 1, 3, True, "relu"),
        Stage(20, 2, 2, 3.5, 5, True, "hard_silu"),
        Stage(40, 3, 2, 4, 7, False, "relu6"),
        Stage(40, 1, 1, 2, 3, True, "relu"),
    ),
    input_size=49,
    stem_filters=12,
    head_filters=96,
    activation="hard_silu",
)


@pytest.mark.parametrize("spec", [mobilenet_v2_spec(0.35, 65), MIXED], ids=["MobileNetV2", "mixed"])
def test_a_network_costs_by_its_specification_what_its_model_costs(spec):
    found, model = spec_cost(spec, classes=7), km.cost(km.create_model("Searched", spec=spec, classes=7))
    assert (found.macs, found.parameters) == (model.macs, model.parameters)
    assert found.peak_bytes == model.peak_activations


def test_the_operators_are_those_of_the_converted_network(tmp_path):
    """But for the two that stand for an h-swish, and the ends."""
    from keras_mobilenets import tflite

    noise = np.random.default_rng(0).uniform(-1, 1, (2, 49, 49, 3)).astype(np.float32)
    model = km.create_model("Searched", spec=MIXED, classes=7)
    path = tflite.convert(
        model, tmp_path / "m.tflite", quantize="int8", effort="low", calibration=noise, target="qualcomm"
    )
    file = tflite.inspect(path).operator_counts
    kinds = [part.kind for part in operators(MIXED, classes=7)]
    names = {"conv": "CONV_2D", "depthwise": "DEPTHWISE_CONV_2D", "dense": "FULLY_CONNECTED", "pool": "MEAN"}
    for kind, name in (names | {"add": "ADD", "hard_silu": "HARD_SWISH", "softmax": "SOFTMAX"}).items():
        assert kinds.count(kind) == file[name], kind
