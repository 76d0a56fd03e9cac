"""The worked detector against the figures of MobileNetV2's table 6."""

import pytest

import keras_mobilenets as km
from keras_mobilenets.models.detection.ssdlite import ssdlite


def test_ssdlite_costs_what_the_paper_says():
    detector = ssdlite(km.MobileNetV2((320, 320, 3), include_top=False))
    cost = km.cost(detector)
    assert round(cost.parameters / 1e6, 1) == 4.3
    assert round(cost.macs / 1e9, 1) == 0.8
    sides = (20, 10, 5, 3, 2, 1)
    anchors = sum(side**2 * count for side, count in zip(sides, (3, 6, 6, 6, 6, 6), strict=True))
    assert detector.output["boxes"].shape == (None, anchors, 4)
    assert detector.output["scores"].shape == (None, anchors, 81)


@pytest.mark.slow
def test_ssdlite_stands_on_other_networks_too():
    for name in ("MobileNetV1", "MobileNetV3Small"):
        detector = ssdlite(km.create_model(name, input_shape=(96, 96, 3), alpha=0.5, include_top=False), classes=3)
        assert detector.output["scores"].shape[-1] == 4


def test_a_network_without_the_taps_is_refused():
    with pytest.raises(km.UserError):
        ssdlite(km.MobileNetV2((32, 32, 3), 0.35, include_top=False, stem_strides=1))
