"""DS-CNN: the published figures, exactly, and its input."""

import pytest

import keras_mobilenets as km
from keras_mobilenets.costs.published_figures import table


@pytest.mark.parametrize(
    "row", [row for row in table() if row.builder.startswith("DSCNN")], ids=lambda row: row.builder
)
def test_figures_are_the_published_ones(row):
    counted = km.cost(km.create_model(row.builder, front_end=False))
    assert counted.parameters == row.parameters
    assert round(counted.macs / 1e6, 2) == row.macs_millions
    assert row.input_size == "49x10"


def test_the_front_end_has_no_parameters_and_its_place_is_a_choice():
    hears, sees = km.DSCNNSmall((8_000,), alpha=0.25), km.DSCNNSmall((8_000,), alpha=0.25, front_end=False)
    assert hears.input_shape == (None, 8_000) and sees.input_shape == (None, 24, 10, 1)
    assert [w.shape for w in hears.weights] == [w.shape for w in sees.weights]
    assert km.DSCNNSmall(features="log_mel", front_end=False).input_shape == (None, 49, 40, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (96, 96, 3)}, r"give \(samples,\), such as \(16000,\)"),
        ({"features": "plp"}, "choose mfcc, log_mel, mfcc_30ms"),
        ({"input_shape": (300,)}, "shorter than a frame"),
    ],
)
def test_a_wrong_input_is_one_line(arguments, message):
    with pytest.raises(km.UserError, match=message):
        km.DSCNNSmall(**arguments)
