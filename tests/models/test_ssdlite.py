"""The detectors against published figures, torchvision's anchors and its outputs (tests/weights holds those)."""

import json
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_mobilenets as km
from keras_mobilenets.models.detection.anchors import anchors, anchors_of, corners, decoded
from keras_mobilenets.models.detection.ssdlite import ssdlite

GOLDEN = Path(__file__).parents[1] / "golden" / "ssdlite320_mobilenet_v3_large.json"


@pytest.mark.parametrize(
    ("name", "classes", "parameters", "macs"),
    [
        ("SSDLiteMobileNetV2", 80, 4.3e6, 0.8e9),  # table 6 of the paper
        ("SSDLiteMobileNetV3Large", 90, 3.440060e6, 0.583e9),  # torchvision's
    ],
)
def test_detectors_cost_what_is_published(name, classes, parameters, macs):
    detector = km.create_model(name, classes=classes)
    cost = km.cost(detector)
    assert cost.parameters == pytest.approx(parameters, rel=0.01)
    assert cost.macs == pytest.approx(macs, rel=0.015)
    count = {"SSDLiteMobileNetV2": 2034, "SSDLiteMobileNetV3Large": 3234}[name]
    assert detector.output_shape == (None, count, 4 + 1 + classes) and anchors_of(detector).shape == (count, 4)


def test_anchors_are_torchvisions():
    reference = json.loads(GOLDEN.read_text())
    ours = corners(anchors([(side, side, 6) for side in (20, 10, 5, 3, 2, 1)]))[:: reference["every"]]
    np.testing.assert_allclose(ours[:, [1, 0, 3, 2]], reference["anchors_x1_y1_x2_y2"], atol=2e-5)


def test_the_two_answers_are_one_output_and_no_offset_is_the_anchor():
    split = ssdlite(km.MobileNetV2((96, 96, 3), 0.35, include_top=False), classes=3)
    assert split.output["boxes"].shape[-1] == 4 and split.output["scores"].shape[-1] == 4
    with warnings.catch_warnings(action="error"):  # Keras's of a model of a list of inputs
        split(np.zeros((1, 96, 96, 3), np.float32))
    fixed = anchors([(6, 6, 3), (3, 3, 6)])
    np.testing.assert_allclose(decoded(np.zeros((1, len(fixed), 4)), fixed)[0], corners(fixed), atol=1e-6)


def test_a_network_that_cannot_be_a_backbone_is_refused():
    for backbone in (
        km.MobileNetV2((32, 32, 3), 0.35, include_top=False, stem_strides=1),
        km.MobileNetV2(alpha=0.35, include_top=False),
    ):
        with pytest.raises(km.UserError):
            ssdlite(backbone)
    with pytest.raises(km.UserError, match="'MobileNetV2' is no network; give one"):
        ssdlite("MobileNetV2")
    for wrong in ((3, 6, 6, 6, 6), (4, 6, 6, 6, 6, 6)):
        with pytest.raises(km.UserError, match="give 6 numbers, each 3 or 6"):
            ssdlite(backbone, anchors=wrong)


def test_a_network_inside_another_model_is_a_backbone():
    images = keras.Input((64, 64, 3))
    inner = km.MobileNetV2((64, 64, 3), 0.35, include_top=False)
    detector = km.SSDLite(keras.Model(images, inner(keras.layers.Rescaling(1 / 127.5, -1)(images))), classes=2)
    assert detector.output_shape == (None, len(anchors_of(detector)), 4 + 1 + 2)
