"""Costs against the papers' formulas and figures, and against counting by hand."""

import keras
import pytest
from keras import layers

import keras_mobilenets as km


def test_mobilenet_v1_costs_what_its_paper_says_beside_standard_convolutions():
    cost = km.cost(km.MobileNetV1())
    assert cost.standard_parameters == pytest.approx(29.3e6, rel=2e-3)  # table 4: 29.3 million
    assert cost.standard_macs == pytest.approx(4866e6, rel=1e-3)  # table 4: 4866 million
    pointwise = [layer for layer in cost.layers if layer.kind == "Conv2D 1×1"]
    assert sum(layer.macs for layer in pointwise) / cost.macs == pytest.approx(0.9486, abs=5e-4)  # table 2
    # Table 2 counts the weights without batch normalization and biases.
    weights = sum(layer.parameters for layer in cost.layers if layer.kind != "BatchNormalization") - 1000
    assert sum(layer.parameters for layer in pointwise) / weights == pytest.approx(0.7459, abs=5e-5)


def test_a_separable_convolution_costs_the_share_of_section_3_1():
    x = keras.Input((14, 14, 256))
    cost = km.cost(keras.Model(x, km.blocks.depthwise_separable(x, 512, name="block")))
    assert cost.macs / cost.standard_macs == pytest.approx(1 / 512 + 1 / 9)
    weights = cost.parameters - 2 * 256 - 2 * 512
    assert 1 - weights / (9 * 256 * 512) == pytest.approx(0.887, abs=1e-3)


@pytest.mark.parametrize(
    ("layer", "shape", "macs"),
    [
        (layers.Conv2D(16, 3, padding="same"), (8, 8, 4), 8 * 8 * 9 * 4 * 16),
        (layers.Conv2D(16, 3, strides=2), (9, 9, 4), 4 * 4 * 9 * 4 * 16),
        (layers.Conv2D(16, 3, padding="same", groups=4), (8, 8, 8), 8 * 8 * 9 * 2 * 16),
        (layers.DepthwiseConv2D((3, 5), padding="same", depth_multiplier=2), (8, 8, 4), 8 * 8 * 15 * 8),
        (layers.SeparableConv2D(16, 3, padding="same"), (8, 8, 4), 8 * 8 * (9 * 4 + 4 * 16)),
        (layers.Dense(10), (7,), 70),
        (layers.Dense(10), (5, 7), 350),
        (layers.BatchNormalization(), (8, 8, 4), 0),
    ],
    ids=lambda value: type(value).__name__,
)
def test_multiply_adds_of_a_layer(layer, shape, macs):
    x = keras.Input(shape)
    assert km.cost(keras.Model(x, layer(x))).macs == macs


def test_parameters_leave_out_what_is_not_trained():
    model = km.MobileNetV2((32, 32, 3), 0.35)
    assert km.cost(model).parameters == sum(keras.ops.size(weight) for weight in model.trainable_weights)
    model.get_layer("predictions").trainable = False
    assert km.cost(model).parameters == sum(keras.ops.size(weight) for weight in model.trainable_weights)


def test_peak_activations_hold_a_shortcut_while_its_block_runs():
    x = keras.Input((4, 4, 8))
    y = layers.Conv2D(48, 1)(x)
    y = layers.DepthwiseConv2D(3, padding="same")(y)
    y = layers.Conv2D(8, 1)(y)
    assert km.cost(keras.Model(x, y)).peak_activations == 2 * 16 * 48
    assert km.cost(keras.Model(x, layers.Add()([x, y]))).peak_activations == 2 * 16 * 48 + 16 * 8


def test_nested_models_count_layer_by_layer():
    inner = km.MobileNetV2((32, 32, 3), 0.35, include_top=False, pooling="avg")
    x = keras.Input((32, 32, 3))
    model = keras.Model(x, layers.Dense(3)(inner(x)))
    assert km.cost(model).macs == km.cost(inner).macs + 1280 * 3


def test_the_table_names_every_layer_and_the_totals():
    cost = km.cost(km.MobileNetV2((32, 32, 3), 0.35))
    text = str(cost)
    assert all(layer.name in text for layer in cost.layers)
    assert f"{cost.parameters:,} trainable parameters" in text
    assert "standard convolutions" in text


def test_an_open_input_size_is_refused_in_one_line():
    with pytest.raises(km.UserError, match="input_shape"):
        km.cost(km.MobileNetV2(alpha=0.35, include_top=False))
