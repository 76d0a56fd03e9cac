"""Quantization-aware training: what int8 rounds is rounded, in the way the converter does it, and nothing else is."""

import functools
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras
from ai_edge_litert.interpreter import Interpreter
from keras import layers
from networks import answers, one_step, randomize

import keras_mobilenets as km
from keras_mobilenets import UserError, blocks, tflite, training
from keras_mobilenets.tflite.measurement.evaluation import agreement

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (64, 32, 32, 3), dtype=np.uint8)
SCALED = PIXELS / np.float32(127.5) - 1
LABELS = RNG.integers(0, 5, 64)


def lively(model):
    """Weights whose outputs differ from image to image."""
    return randomize(model, 3, scales=(0.5, 2), biases=0.2)


def build(name, **arguments):
    keras.utils.set_random_seed(0)
    return lively(km.create_model(name, input_shape=(32, 32, 3), classes=5, **arguments))


def small():
    """A network of a stem, two inverted residuals, one with squeeze-and-excite, and a classifier."""
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3), name="image")
    x = blocks.conv_bn(image, 16, strides=2, activation="hard_silu", name="stem")
    excite = functools.partial(blocks.squeeze_excite, reduced=8)
    x = blocks.inverted_residual(x, 16, 4, activation="hard_silu", excite=excite, name="block_0")
    x = blocks.inverted_residual(x, 24, 4, strides=2, name="block_1")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return lively(keras.Model(image, layers.Dense(5, activation="softmax", name="predictions")(x), name="small"))


NETWORKS = {
    "MobileNetV1": {"alpha": 0.35},
    "MobileNetV2": {"alpha": 0.35},
    "MobileNetV3Large": {"alpha": 0.35},
    "MobileNetV3Small": {"alpha": 0.35},
    "EfficientNetB0": {"alpha": 0.35},
    "ResNet18": {"alpha": 0.25},
    "MobileNetV4ConvSmall": {"alpha": 0.35},
    "GhostNetV2": {"width": 0.35},
}


QUICK = ("MobileNetV3Small",)


@pytest.fixture(
    scope="module", params=[pytest.param(n, marks=[] if n in QUICK else pytest.mark.slow) for n in NETWORKS]
)
def trained(request, tmp_path_factory):
    """(float model, quantization-aware model after a step of training, its .tflite)."""
    model = build(request.param, **NETWORKS[request.param])
    quantized = training.quantize_aware(model, PIXELS)
    one_step(quantized, tf_keras.optimizers.SGD(1e-3), SCALED[:16], LABELS[:16])
    return model, quantized, tflite.convert(quantized, tmp_path_factory.mktemp(request.param) / "qat.tflite")


def test_conversion_gives_int8_operators_only_and_the_answers_of_the_trained_model(trained):
    _, quantized, path = trained
    found = tflite.inspect(path)
    assert not any(operator.is_float for operator in found.operators)
    assert set(found.dtypes) == {"int8", "int32"}
    assert {"QUANTIZE", "DEQUANTIZE"}.isdisjoint(found.operator_counts)
    result = tflite.evaluate(path, PIXELS)
    expected = answers(quantized, SCALED)
    assert np.abs(result.predictions - expected).max() < 0.05
    assert agreement(result, expected) >= 0.95  # 64 images of noise; the benchmark program asks 99% of real ones


@pytest.mark.slow
def test_it_has_the_operators_of_post_training_quantization(trained, tmp_path):
    model, _, path = trained
    post = tflite.convert(model, tmp_path / "ptq.tflite", quantize="int8", effort="low", calibration=PIXELS)
    counts = tflite.inspect(path).operator_counts
    assert {k: v for k, v in counts.items() if k != "RESHAPE"} == {
        k: v for k, v in tflite.inspect(post).operator_counts.items() if k != "RESHAPE"
    }


def test_no_layer_is_passed_over(trained):
    model, quantized, _ = trained
    listed = {layer.name: layer for layer in training.quantized_layers(quantized)}
    assert {layer.name for layer in model.layers[1:]} <= set(listed)
    assert not any(layer.in_float for layer in listed.values())
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D):
            assert "int8 weights per channel" in listed[layer.name].treatment


def test_the_file_holds_the_weights_that_training_rounded_to(trained):
    """Rounding before BatchNorm is folded in and after gives the same int8 values."""
    _, quantized, path = trained
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    written = {d["name"]: d["index"] for d in interpreter.get_tensor_details() if d["dtype"] == np.int8}
    compared = 0
    for wrapper in quantized.layers[1:]:
        if isinstance(wrapper.layer, tf_keras.layers.DepthwiseConv2D):
            (variable,) = (w for w in wrapper.weights if "depthwise_kernel" in w.name)
            kernel = variable.numpy()[..., 0]
            expected = np.rint(kernel / (np.abs(kernel).max(axis=(0, 1)) / 127))
            name = next(n for n in written if f"{wrapper.name}/depthwise" in n and "_bn/" in n.split(";")[0])
            folded = interpreter.get_tensor(written[name])[0].astype(int)
            steps = np.abs(np.abs(folded) - np.abs(expected))  # (a negative gamma turns the sign of a channel)
            assert steps.max() <= 1 and np.mean(steps > 0) < 0.01
            compared += 1
    assert compared == sum("Depthwise" in layer.kind for layer in training.quantized_layers(quantized))


def test_a_depthwise_kernel_is_rounded_channel_by_channel_where_tfmot_has_one_scale():
    image = keras.Input((8, 8, 4))
    model = keras.Model(image, layers.DepthwiseConv2D(3, use_bias=False, name="depthwise")(image))
    kernel = np.random.default_rng(0).uniform(-1, 1, (3, 3, 4, 1)) * np.array([1, 0.1, 0.01, 0.001])[:, None]
    model.set_weights([kernel.astype(np.float32)])
    x = np.random.default_rng(1).uniform(-1, 1, (4, 8, 8, 4)).astype(np.float32)
    exact = answers(model, x)

    def rounding(quantized):
        wrapper = quantized.get_layer("quant_depthwise")
        wrapper(tf.constant(x), training=True)
        error = np.asarray(wrapper.layer(tf.constant(x))) - exact
        return np.abs(error).max(axis=(0, 1, 2)) / np.abs(exact).max(axis=(0, 1, 2))

    assert rounding(training.quantize_aware(model, x)).max() < 0.02
    theirs = rounding(tfmot.quantization.keras.quantize_model(training.to_tf_keras(model)))
    assert theirs.max() > 0.9  # the smallest channel is rounded away


def test_patterns_beside_the_families_become_int8(tmp_path):
    image = keras.Input((16, 16, 3))
    x = layers.Rescaling([2.0, 1.0, 0.5], [0.0, 0.1, -0.1])(image)
    x = layers.Conv2D(16, 3, padding="same")(x)
    x = layers.ReLU()(x)  # no BatchNorm: tfmot leaves this pair in float
    x = layers.Conv2D(16, 3, padding="same", groups=4, activation="relu6")(x)
    x = blocks.channel_shuffle(x, 4, name="shuffle")
    left, right = blocks.channel_split(x, name="split")
    right = layers.AveragePooling2D(3, 1, padding="same")(blocks.depthwise_bn(right, name="depthwise"))
    x = layers.Concatenate()([left, right])
    x = blocks.squeeze_excite(x, 8, gate="sigmoid", activation="silu", name="block")
    x = layers.MaxPooling2D(2)(layers.ZeroPadding2D(1)(x))
    y = layers.Dense(16)(layers.Flatten()(x))
    y = layers.Activation("relu")(layers.BatchNormalization()(y))
    model = lively(keras.Model(image, layers.Dense(5)(y)))
    quantized = training.quantize_aware(model, PIXELS[:, ::2, ::2])
    assert not any(layer.in_float for layer in training.quantized_layers(quantized))
    path = tflite.convert(quantized, tmp_path / "m.tflite")
    assert set(tflite.inspect(path).dtypes) == {"int8", "int32"}
    expected = answers(quantized, SCALED[:, ::2, ::2])
    result = tflite.evaluate(path, PIXELS[:, ::2, ::2]).predictions
    assert np.abs(result - expected).max() < 0.05 * np.abs(expected).max()


def test_named_layers_stay_in_float(tmp_path):
    model = small()
    quantized = training.quantize_aware(model, PIXELS, left_in_float=["first", "block_1_expand", "last"])
    reasons = {layer.name: layer.in_float for layer in training.quantized_layers(quantized) if layer.in_float}
    assert reasons == {
        "stem": "left in float as requested",
        "stem_bn": "fused with stem",
        "block_1_expand": "left in float as requested",
        "block_1_expand_bn": "fused with block_1_expand",
        "block_1_expand_relu6": "fused with block_1_expand_bn",
        "predictions": "left in float as requested",
    }
    found = tflite.inspect(tflite.convert(quantized, tmp_path / "m.tflite"))
    floats = [op.name for op in found.operators if op.is_float and op.name not in ("DEQUANTIZE", "QUANTIZE")]
    assert floats == ["CONV_2D", "CONV_2D", "FULLY_CONNECTED", "SOFTMAX"]


def test_a_layer_that_int8_lacks_is_listed_with_the_reason():
    image = keras.Input((16, 16, 3))
    x = layers.Activation("softplus", name="odd")(layers.Conv2D(4, 1)(image))
    x = layers.BatchNormalization(name="alone")(layers.Add()([x, x]))
    quantized = training.quantize_aware(keras.Model(image, x))
    reasons = {layer.name: layer.in_float for layer in training.quantized_layers(quantized) if layer.in_float}
    assert reasons == {
        "odd": "TensorFlow Lite has no int8 softplus",
        "alone": "it follows no convolution or dense layer to fold it into",
    }


def test_ranges_start_at_the_extremes_of_the_calibration_images():
    model, names = small(), ["stem_bn", "stem_hard_silu", "block_0_add", "block_1_expand_relu6", "pool"]
    outputs = map(np.asarray, keras.Model(model.input, [model.get_layer(name).output for name in names])(SCALED))
    quantized = training.quantize_aware(model, PIXELS)
    for name, values in zip(names, outputs, strict=True):
        found = {
            w.name.split("_")[-1]: float(w) for w in quantized.get_layer(f"quant_{name}").weights if "put_" in w.name
        }
        assert found["low:0"] == pytest.approx(min(values.min(), 0), rel=1e-4, abs=1e-6)
        assert found["high:0"] == pytest.approx(values.max(), rel=1e-4)


@pytest.mark.slow
def test_without_calibration_the_first_batch_sets_the_ranges(tmp_path):
    quantized = training.quantize_aware(small())
    with pytest.raises(UserError, match="no ranges yet"):
        tflite.convert(quantized, tmp_path / "m.tflite")
    one_step(quantized, "sgd", SCALED[:8], LABELS[:8])
    tflite.convert(quantized, tmp_path / "m.tflite")


@pytest.mark.slow
def test_batch_norm_statistics_freeze_after_so_many_steps():
    model = small()
    quantized = training.quantize_aware(model, PIXELS, freeze_batch_norm_after=2)
    quantized.compile(tf_keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    norm = quantized.get_layer("quant_stem_bn").layer
    means, gammas = [norm.moving_mean.numpy()], [norm.gamma.numpy()]
    for _ in range(4):
        quantized.train_on_batch(SCALED[:8], LABELS[:8])
        means.append(norm.moving_mean.numpy())
        gammas.append(norm.gamma.numpy())
    assert [np.array_equal(a, b) for a, b in itertools.pairwise(means)] == [False, False, True, True]
    assert not any(np.array_equal(a, b) for a, b in itertools.pairwise(gammas))


@pytest.mark.parametrize("preserve", ["sparsity", pytest.param("clusters", marks=pytest.mark.slow)])
def test_zeros_and_clusters_survive_training_and_conversion(preserve, tmp_path):
    model = small()
    conv = model.get_layer("block_1_expand")
    kernel = conv.get_weights()[0]
    if preserve == "sparsity":
        kernel[np.abs(kernel) < np.quantile(np.abs(kernel), 0.75)] = 0
    else:
        kernel = np.quantile(kernel, (0.1, 0.4, 0.6, 0.9)).astype(np.float32)[RNG.integers(0, 4, kernel.shape)]
    conv.set_weights([kernel])
    quantized = training.quantize_aware(model, PIXELS, preserve=preserve)
    quantized.compile(tf_keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", run_eagerly=True)
    quantized.fit(SCALED, LABELS, batch_size=16, verbose=0)
    path = tflite.convert(quantized, tmp_path / "m.tflite")
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    shape = (kernel.shape[3], 1, 1, kernel.shape[2])
    for detail in interpreter.get_tensor_details():
        if "block_1_expand" in detail["name"] and tuple(detail["shape"]) == shape and detail["dtype"] == np.int8:
            values = interpreter.get_tensor(detail["index"])
    if preserve == "sparsity":
        assert np.mean(values == 0) >= 0.75
    else:
        assert max(len(np.unique(channel)) for channel in values) <= 4


def test_it_is_saved_and_loaded_and_trained_on(tmp_path):
    quantized = training.quantize_aware(small(), PIXELS)
    one_step(quantized, "sgd", SCALED[:8], LABELS[:8])
    one = tflite.convert(quantized, tmp_path / "one.tflite").read_bytes()  # leaves the model as it was
    quantized.save(tmp_path / "q.keras")
    loaded = training.load_model(tmp_path / "q.keras")
    np.testing.assert_array_equal(answers(loaded, SCALED), answers(quantized, SCALED))
    assert training.quantized_layers(loaded) == training.quantized_layers(quantized)
    assert tflite.convert(tmp_path / "q.keras", tmp_path / "two.tflite").read_bytes() == one


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"left_in_float": ["block_99"]}, "unknown layer 'block_99'"),
        ({"preserve": "zeros"}, "'sparsity' or 'clusters'"),
        ({"range_decay": 1.0}, "range_decay=1.0"),
        ({"freeze_batch_norm_after": -1}, "freeze_batch_norm_after=-1"),
        ({"calibration": PIXELS[:, :16]}, "images are 16×32×3"),
        ({"calibration": PIXELS[:0]}, "no images"),
    ],
)
def test_bad_arguments_are_one_line(arguments, says):
    with pytest.raises(UserError, match=says) as raised:
        training.quantize_aware(small(), **arguments)
    assert "\n" not in str(raised.value)


def test_a_quantization_aware_model_converts_to_int8_only(tmp_path):
    quantized = training.quantize_aware(small(), PIXELS)
    with pytest.raises(UserError, match="trained for int8"):
        tflite.convert(quantized, tmp_path / "m.tflite", quantize="float16")
    with pytest.raises(UserError, match="quantization-aware already"):
        training.quantize_aware(quantized)


def _nested():
    base = km.MobileNetV2((32, 32, 3), alpha=0.35, include_top=False, pooling="avg")
    image = keras.Input((32, 32, 3))
    return keras.Model(image, keras.layers.Dense(3)(base(image)))


def _relu_used_twice():
    image, relu = keras.Input((32, 32, 3)), keras.layers.ReLU()
    x = relu(keras.layers.Conv2D(8, 3, 2)(relu(keras.layers.Conv2D(8, 3, 2)(image))))
    return keras.Model(image, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x + 1.0)))


@pytest.mark.parametrize("make", [_nested, _relu_used_twice])
def test_other_peoples_graphs_are_quantized_near_their_float_answers(make):
    keras.utils.set_random_seed(0)
    model = make()
    images = np.random.default_rng(0).uniform(-1, 1, (8, 32, 32, 3)).astype(np.float32)
    expected = np.asarray(model(images))
    found = np.asarray(training.quantize_aware(model, images, pixels="-1..1")(images))
    assert 0 < np.abs(found - expected).max() < 0.1 * np.abs(expected).max()


def _conv_used_twice():
    image, conv = keras.Input((32, 32, 3)), keras.layers.Conv2D(3, 3, name="shared")
    return keras.Model(image, conv(conv(image)))


def _two_outputs():
    image = keras.Input((32, 32, 3))
    x = keras.layers.GlobalAveragePooling2D()(image)
    return keras.Model(image, [keras.layers.Dense(3)(x), keras.layers.Dense(2)(x)])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (_conv_used_twice, "layer shared is used 2 times"),
        (_two_outputs, "1 inputs and 2 outputs"),
        (lambda: keras.Sequential([keras.layers.Dense(3)]), "not built"),
    ],
)
def test_graphs_that_tfmot_cannot_quantize_are_refused_in_one_line(make, says):
    with pytest.raises(UserError, match=says) as raised:
        training.quantize_aware(make())
    assert "\n" not in str(raised.value)
