"""The documents' questions about separable convolutions, answered by computing."""

import pytest

import keras_mobilenets as km
from keras_mobilenets.costs.separable_savings import Comparison, compare, shares


def test_the_share_is_that_of_section_3_1():
    for inputs, filters, kernel in ((32, 64, 3), (256, 512, 3), (512, 512, 5)):
        assert Comparison(inputs, filters, kernel).share == pytest.approx(1 / filters + 1 / kernel**2)


def test_widening_by_the_depthwise_convolution_saves_77_percent_and_by_the_pointwise_one_89():
    assert 1 - Comparison(256, 512).share == pytest.approx(0.887, abs=5e-4)
    assert 1 - Comparison(256, 512, depth_multiplier=2).share == pytest.approx(0.774, abs=5e-4)


def test_a_standard_convolution_is_cheaper_than_an_inverted_residual_of_few_channels():
    few, many = Comparison(8, 8), Comparison(64, 64)
    assert few.standard < few.inverted_residual(3)
    assert many.standard > many.inverted_residual(3)


def test_shares_of_mobilenet_v1_are_those_of_its_table_2():
    found = shares(km.cost(km.MobileNetV1()))
    assert next(iter(found)) == "Conv2D 1×1"
    macs, weights = found["Conv2D 1×1"]
    assert (macs, weights) == (pytest.approx(0.9486, abs=2e-4), pytest.approx(0.7459, abs=3e-4))
    macs, weights = found["DepthwiseConv2D 3×3"]
    assert (macs, weights) == (pytest.approx(0.0306, abs=2e-4), pytest.approx(0.0106, abs=2e-4))
    assert sum(macs for macs, _ in found.values()) == pytest.approx(1)


def test_compare_prints_every_separable_convolution():
    text = compare(km.MobileNetV2((96, 96, 3), 0.35))
    assert all(f"block_{index}_depthwise" in text for index in range(17))
    assert "with standard convolutions" in text
    assert "cheaper" in text
