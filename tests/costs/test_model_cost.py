"""Costs against the papers' formulas and figures, and against counting by hand."""

import keras
import numpy as np
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
        (layers.Conv1D(6, 3, dilation_rate=2), (20, 4), 16 * 3 * 4 * 6),
        (layers.Conv3D(6, 3, strides=2), (9, 9, 9, 4), 4**3 * 27 * 4 * 6),
        (layers.Conv1DTranspose(6, 3, strides=2), (9, 4), 9 * 3 * 4 * 6),
        (layers.Conv2DTranspose(16, 3, strides=2, padding="same"), (16, 16, 8), 16 * 16 * 9 * 8 * 16),
        (layers.Conv2DTranspose(6, 3, data_format="channels_first"), (4, 9, 9), 81 * 9 * 4 * 6),
        (layers.Conv2D(6, 3, data_format="channels_first"), (4, 9, 9), 49 * 9 * 4 * 6),
        (layers.Conv3DTranspose(6, 3), (5, 5, 5, 2), 125 * 27 * 2 * 6),
        (layers.DepthwiseConv1D(3, depth_multiplier=2), (20, 4), 18 * 3 * 4 * 2),
        (layers.SeparableConv1D(6, 3), (20, 4), 18 * (3 * 4 + 4 * 6)),
        (layers.EinsumDense("abc,cd->abd", (5, 7)), (5, 6), 5 * 6 * 7),
        (layers.EinsumDense("...x,xy->...y", 7), (5, 6), 5 * 6 * 7),
        (layers.LSTM(5), (7, 4), 7 * 4 * 5 * (4 + 5)),
        (layers.GRU(5, return_sequences=True), (7, 4), 7 * 3 * 5 * (4 + 5)),
        (layers.Bidirectional(layers.SimpleRNN(5)), (7, 4), 2 * 7 * 5 * (4 + 5)),
        (layers.RNN([layers.LSTMCell(3), layers.LSTMCell(4)]), (7, 4), 7 * 4 * (3 * (4 + 3) + 4 * (3 + 4))),
        (layers.ConvLSTM2D(4, 3, padding="same"), (3, 8, 8, 2), 3 * 64 * 9 * 4 * 4 * (2 + 4)),
        (layers.TimeDistributed(layers.Conv2D(4, 3)), (3, 8, 8, 2), 3 * 36 * 9 * 2 * 4),
        (layers.SpectralNormalization(layers.Conv2D(4, 3)), (8, 8, 2), 36 * 9 * 2 * 4),
        (layers.Embedding(10, 4), (5,), 0),
        (layers.GroupNormalization(2), (8, 8, 4), 0),
        (layers.PReLU(), (8, 8, 4), 0),
        (layers.Lambda(lambda x: keras.ops.matmul(x, x)), (4, 4), 4 * 4 * 4),
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


# Queries 16×8 and values 12×8.
@pytest.mark.parametrize(
    ("layer", "macs"),
    [
        (layers.MultiHeadAttention(2, 4), 2 * 16 * 8 * 8 + 2 * 12 * 8 * 8 + 2 * 16 * 12 * 2 * 4),
        (layers.MultiHeadAttention(2, 4, 3), 16 * 8 * 14 + 12 * 8 * 14 + 16 * 12 * 2 * (4 + 3)),
        (layers.GroupQueryAttention(4, 4, 2), 2 * 16 * 8 * 16 + 2 * 12 * 8 * 8 + 2 * 16 * 12 * 4 * 4),
        (layers.Attention(), 2 * 16 * 12 * 8),
        (layers.AdditiveAttention(), 2 * 16 * 12 * 8),
        (layers.Dot(2), 16 * 12 * 8),
    ],
    ids=lambda value: type(value).__name__,
)
def test_multiply_adds_of_two_inputs(layer, macs):
    query, value = keras.Input((16, 8)), keras.Input((12, 8))
    together = not isinstance(layer, layers.MultiHeadAttention | layers.GroupQueryAttention)
    cost = km.cost(keras.Model([query, value], layer([query, value]) if together else layer(query, value)))
    assert cost.macs == macs and not cost.uncounted


def _operations(x):
    """Windows of 4×4 positions that attend to themselves, by keras.ops."""
    ops = keras.ops
    kernel = np.ones((3, 3, 8, 8), np.float32)
    x = ops.conv(x, kernel, padding="same")  # 8·8·9·8·8
    rows = ops.reshape(ops.transpose(ops.reshape(x, (-1, 2, 4, 2, 4, 8)), (0, 1, 3, 2, 4, 5)), (-1, 16, 8))
    scores = ops.softmax(ops.einsum("bqc,bkc->bqk", rows, rows))  # 4 windows · 16·16·8
    return ops.reshape(ops.matmul(scores, rows), (-1, 8, 8, 8))  # the same again


def test_operations_on_tensors_count_even_where_images_are_cut_into_windows():
    x = keras.Input((8, 8, 8))
    cost = km.cost(keras.Model(x, _operations(x)))
    assert cost.macs == 64 * 9 * 8 * 8 + 2 * 4 * 16 * 16 * 8 and not cost.uncounted


class OwnDense(layers.Layer):
    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 5), name="kernel")

    def call(self, x):
        return keras.ops.matmul(x, self.kernel)


class Opaque(OwnDense):
    def call(self, x):
        return keras.ops.convert_to_tensor(np.asarray(x) @ self.kernel.numpy())

    def compute_output_shape(self, shape):
        return (*shape[:-1], 5)


def test_a_layer_of_ones_own_is_followed_or_named():
    x = keras.Input((7, 3))
    assert km.cost(keras.Model(x, OwnDense()(x))).macs == 7 * 3 * 5
    x = keras.Input((7, 3))
    cost = km.cost(keras.Model(x, Opaque(name="opaque")(x)))
    assert cost.uncounted == ("opaque",) and cost.parameters == 15
    assert "not counted: opaque" in cost.summary()


def test_a_layer_used_twice_costs_its_multiply_adds_twice_and_its_parameters_once():
    conv, x = layers.Conv2D(8, 3, padding="same"), keras.Input((32, 32, 8))
    keras.Model(x, conv(x))  # a call of another model does not count
    cost = km.cost(keras.Model(x, conv(conv(x))))
    assert (cost.macs, cost.parameters) == (2 * 32 * 32 * 9 * 8 * 8, 9 * 8 * 8 + 8)


def _backbone(name):
    return km.MobileNetV2((32, 32, 3), alpha=0.35, include_top=False, pooling="avg", name=name)


@pytest.mark.parametrize("names", [("left", "right"), ("one", "one")])
def test_two_backbones_cost_twice_one(names):
    backbones = {name: _backbone(name) for name in names}
    image = keras.Input((32, 32, 3))
    model = keras.Model(
        image, [backbones[name](layers.Rescaling(s)(image)) for name, s in zip(names, (1, 2), strict=True)]
    )
    one, cost = km.cost(_backbone("other")), km.cost(model)
    assert (cost.macs, cost.standard_macs) == (2 * one.macs, 2 * one.standard_macs)
    assert cost.parameters == sum(keras.ops.size(weight) for weight in model.trainable_weights)
    assert cost.standard_parameters == len(backbones) * one.standard_parameters


def test_an_unbuilt_model_is_refused_in_one_line():
    with pytest.raises(km.UserError, match="not built"):
        km.cost(keras.Sequential([layers.Dense(3)]))
