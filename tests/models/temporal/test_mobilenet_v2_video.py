"""The 3-D MobileNetV2: the published figures, its three convolutions, its input."""

import pytest

import keras_mobilenets as km


@pytest.fixture(scope="module")
def counted():
    return km.cost(km.MobileNetV2Video())


def test_its_parameters_are_the_published_ones(counted):
    assert counted.parameters == 3_122_648  # of the authors' code for 600 classes; 3.12 M in the paper
    assert round(counted.macs / 1e6, 1) == 519.0
    assert counted.layers[0].output_shape == (16 * 112, 112, 3)


def test_the_saving_is_that_beside_a_network_of_standard_convolutions(counted):
    standard = km.cost(km.MobileNetV2Video(convolution="standard"))
    assert (standard.parameters, standard.macs) == (counted.standard_parameters, counted.standard_macs)
    factorized = km.cost(km.MobileNetV2Video(convolution="factorized"))
    assert (factorized.standard_parameters, factorized.standard_macs) == (standard.parameters, standard.macs)
    assert factorized.macs < counted.macs < standard.macs / 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (112, 112, 3)}, r"give \(frames, height, width, 3\)"),
        ({"input_shape": (16, 16, 112, 3)}, "32 or more a side"),
        ({"input_shape": (16, 112, 112, 1)}, "of 3 channels"),
        ({"convolution": "grouped"}, "choose depthwise, factorized, standard"),
    ],
)
def test_a_wrong_argument_is_one_line(arguments, message):
    with pytest.raises(km.UserError, match=message):
        km.MobileNetV2Video(**arguments)
