"""Models of every kind as a .tflite, against Keras's own answers."""

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras import layers

import keras_mobilenets as km
from keras_mobilenets import tflite
from keras_mobilenets.errors import UserError

RNG = np.random.default_rng(0)


def run(path, arrays):
    """The plain interpreter's answers, dequantized, to one array 1×… for each input."""
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    for found, array in zip(interpreter.get_input_details(), arrays, strict=True):
        scale, zero = found["quantization"]
        values = np.clip(np.rint(array / scale) + zero, -128, 127) if scale else array
        interpreter.set_tensor(found["index"], values.astype(found["dtype"]))
    interpreter.invoke()
    answers = []
    for found in interpreter.get_output_details():
        scale, zero = found["quantization"]
        values = interpreter.get_tensor(found["index"]).astype(np.float32)
        answers.append((values - zero) * scale if scale else values)
    return answers


def head(x, name=""):
    x = layers.Conv2D(32, 3, strides=2, activation="relu", bias_initializer="normal", name=f"{name}conv")(x)
    return layers.GlobalAveragePooling2D(name=f"{name}pool")(x)


def several():
    photo, facts = keras.Input((32, 32, 3), name="photo"), keras.Input((5,), name="facts")
    x = layers.Concatenate()([head(photo), facts])
    return keras.Model([photo, facts], [layers.Dense(3, name="kind")(x), layers.Dense(4, name="box")(x)])


def dictionaries():
    rgb, depth = keras.Input((32, 32, 3), name="x"), keras.Input((16, 16, 1), name="y")
    x = layers.Concatenate()([head(rgb, "rgb_"), head(depth, "depth_")])
    outputs = {"score": layers.Dense(3)(x), "map": layers.Conv2D(4, 1)(rgb)}
    return keras.Model({"rgb": rgb, "depth": depth}, outputs)


def normalization():
    layer = layers.Normalization()
    layer.adapt(RNG.uniform(0, 1, (64, 32, 32, 3)))
    image = keras.Input((32, 32, 3))
    return keras.Model(image, layers.Dense(3)(head(layer(image))))


def shared():
    image, conv = keras.Input((32, 32, 3)), layers.Conv2D(3, 3, padding="same", name="twice")
    return keras.Model(image, layers.Dense(3)(head(conv(conv(image)))))


def siamese():
    image = keras.Input((32, 32, 3))
    body = keras.Model(image, head(image))
    left, right = keras.Input((32, 32, 3), name="left"), keras.Input((32, 32, 3), name="right")
    return keras.Model([left, right], layers.Dense(2)(layers.Subtract()([body(left), body(right)])))


def operators():
    image = keras.Input((32, 32, 3))
    x = keras.ops.concatenate([keras.ops.relu(image * 2 - 1), keras.ops.sin(image)], -1)
    return keras.Model(image, layers.Dense(3)(head(layers.Lambda(lambda t: t + 1)(x))))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.conv, self.dense = layers.Conv2D(32, 3, name="inner_conv"), layers.Dense(3)

    def call(self, x):
        import tensorflow as tf  # cannot be followed symbolically, but traced

        return self.dense(tf.reduce_mean(tf.nn.relu(self.conv(x)), (1, 2)))


def subclassed():
    model = Subclassed()
    model(np.zeros((1, 32, 32, 3), "float32"))
    return model


def vectors():
    x = keras.Input((12,))
    return keras.Model(x, layers.Dense(3)(layers.Dense(128, activation="relu")(x)))


def sequences():
    x = keras.Input((50, 4))
    return keras.Model(x, layers.Dense(3)(layers.GlobalAveragePooling1D()(layers.Conv1D(64, 5, activation="relu")(x))))


def indices():
    x = keras.Input((10,), dtype="int32")
    return keras.Model(x, layers.Dense(3)(layers.GlobalAveragePooling1D()(layers.Embedding(64, 32)(x))))


def uint8():
    image = keras.Input((32, 32, 3), dtype="uint8")
    return keras.Model(image, layers.Dense(3)(head(layers.Rescaling(1 / 127.5, -1)(image))))


def gray():
    image = keras.Input((32, 32, 1))
    return keras.Model(image, layers.Dense(3)(head(image)))


KINDS = [several, dictionaries, normalization, shared, siamese, operators, subclassed, vectors, sequences, indices]


def feeds(model, count=16):
    """Random samples for each input, and the same as the model takes them."""
    structure = getattr(model, "_inputs_struct", None)
    structure = keras.KerasTensor((None, 32, 32, 3)) if structure is None else structure
    arrays = []
    for leaf in keras.tree.flatten(structure):
        shape = (count, *leaf.shape[1:])
        most = {"int32": 10, "uint8": 256}.get(leaf.dtype)
        values = RNG.uniform(0, 1, shape) if most is None else RNG.integers(0, most, shape)
        arrays.append(values.astype(leaf.dtype))
    return arrays, keras.tree.pack_sequence_as(structure, arrays)


@pytest.mark.parametrize("kind", [*KINDS, uint8, gray], ids=lambda kind: kind.__name__)
def test_a_model_of_any_kind_answers_as_keras(kind, tmp_path):
    keras.utils.set_random_seed(0)
    model = kind()
    arrays, given = feeds(model)
    expected = [np.asarray(y) for y in keras.tree.flatten(model(given, training=False))]

    plain = tflite.convert(model, tmp_path / "m.tflite")
    int8 = tflite.convert(
        model,
        tmp_path / "q.tflite",
        quantize="int8",
        effort="low",
        calibration=tuple(arrays) if len(arrays) > 1 else arrays[0],
    )

    for number in range(4):
        sample = [array[number : number + 1] for array in arrays]
        for found, close, y in zip(run(plain, sample), run(int8, sample), expected, strict=True):
            np.testing.assert_allclose(found[0], y[number], atol=1e-4 * np.abs(y).max())
            np.testing.assert_allclose(close[0], y[number], atol=0.15 * np.abs(y).max())


def test_inputs_and_outputs_keep_their_names(tmp_path):
    model = dictionaries()
    signature = Interpreter(str(tflite.convert(model, tmp_path / "m.tflite"))).get_signature_runner()
    rgb, depth = RNG.normal(size=(1, 32, 32, 3)).astype("float32"), RNG.normal(size=(1, 16, 16, 1)).astype("float32")

    found, expected = signature(rgb=rgb, depth=depth), model({"rgb": rgb, "depth": depth})

    assert found.keys() == {"score", "map"}
    for name in found:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-4)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_mixed_precision_becomes_float32(policy, tmp_path):
    build = {"input_shape": (32, 32, 3), "alpha": 0.35, "classes": 3, "classifier_activation": None}
    reference = km.MobileNetV2(**build)
    keras.config.set_dtype_policy(policy)
    try:
        model = km.MobileNetV2(**build)
    finally:
        keras.config.set_dtype_policy("float32")
    model.set_weights(reference.get_weights())
    policies = [layer.dtype_policy.name for layer in model.layers]
    image = RNG.uniform(-1, 1, (1, 32, 32, 3)).astype("float32")

    (found,) = run(tflite.convert(model, tmp_path / "m.tflite"), [image])

    np.testing.assert_allclose(found, reference(image), atol=1e-5)
    assert [layer.dtype_policy.name for layer in model.layers] == policies


def test_open_sizes_ask_for_one(tmp_path):
    image = keras.Input((None, None, 3))
    model = keras.Model(image, layers.Dense(3)(head(image)))
    with pytest.raises(UserError, match=r"images of any size .*input_shape=\(height, width, 3\)"):
        tflite.convert(model, tmp_path / "m.tflite")
    with pytest.raises(UserError, match="does not fit"):
        tflite.convert(model, tmp_path / "m.tflite", input_shape=(32, 32, 1))
    pixels = RNG.uniform(-1, 1, (1, 40, 24, 3)).astype("float32")

    (found,) = run(tflite.convert(model, tmp_path / "m.tflite", input_shape=(40, 24, 3)), [pixels])

    np.testing.assert_allclose(found, model(pixels), atol=1e-5)


def test_what_cannot_be_converted_says_why_in_one_line(tmp_path):
    image = keras.Input((16,), name="x")
    lacking = keras.Model(image, layers.Lambda(keras.ops.erfinv, name="inverse")(image))
    quantized = keras.Model(image, layers.Dense(3)(image))
    quantized.quantize("int8")
    for model, says in (
        (keras.Sequential([layers.Dense(3)]), "is not built"),
        (lacking, "no operator Erfinv; layer inverse needs it"),
        (quantized, r"quantized by Keras \(model.quantize\)"),
        (None, "a Keras model or the path of one is needed"),
    ):
        with pytest.raises(UserError, match=says) as refused:
            tflite.convert(model, tmp_path / "m.tflite")
        assert "\n" not in str(refused.value)


def test_layers_of_nested_models_can_stay_in_float(tmp_path):
    """By the names that they have in the flat model, with equalization too."""
    inner = keras.Sequential(
        [keras.Input((32, 32, 3)), layers.Conv2D(32, 3, activation="relu", bias_initializer="normal", name="first")]
    )
    image = keras.Input((32, 32, 3))
    model = keras.Model(image, layers.Dense(3)(head(inner(image))))
    images = RNG.uniform(-1, 1, (8, 32, 32, 3)).astype("float32")
    how = {"quantize": "int8", "calibration": images, "equalize": True, "leave_in_float": ["first"]}

    path = tflite.convert(model, tmp_path / "m.tflite", **how)

    found = {operator.outputs[0].name: operator.outputs[0].dtype for operator in tflite.inspect(path).operators}
    assert found["first equalized"] == "float32"
    assert found["conv"] == "int8"
    assert {row.layer for row in tflite.sensitivity(model, images).layers} >= {"first", "conv"}


def test_activations_that_are_always_zero_get_a_range_that_runs(tmp_path):
    """As those of a network without biases on black images, or of a dead channel's layer."""
    image = keras.Input((32, 32, 3))
    model = keras.Model(image, layers.Dense(3)(layers.Flatten()(layers.Conv2D(32, 3, activation="relu")(image))))
    black = np.zeros((4, 32, 32, 3), "float32")

    path = tflite.convert(
        model, tmp_path / "m.tflite", quantize="int8", effort="low", calibration=black, pixels="-1..1"
    )

    np.testing.assert_array_equal(run(path, [black[:1]])[0], 0)
    assert len(tflite.sensitivity(model, black, pixels="-1..1").layers) >= 2


def test_a_model_of_tfmot_itself_is_what_the_stock_converter_makes_of_it(tmp_path):
    import tensorflow as tf
    import tensorflow_model_optimization as tfmot
    import tf_keras

    parts = [
        tf_keras.layers.Conv2D(4, 3, activation="relu", input_shape=(8, 8, 3)),
        tf_keras.layers.GlobalAveragePooling2D(),
    ]
    quantized = tfmot.quantization.keras.quantize_model(tf_keras.Sequential(parts))
    images = np.random.default_rng(0).uniform(-1, 1, (16, 8, 8, 3)).astype(np.float32)
    quantized(images, training=True)  # ranges
    converter = tf.lite.TFLiteConverter.from_keras_model(quantized)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    (tmp_path / "stock.tflite").write_bytes(converter.convert())
    tflite.convert(quantized, tmp_path / "ours.tflite")
    answers = []
    for name in ("stock", "ours"):
        plain = Interpreter(str(tmp_path / f"{name}.tflite"))
        plain.allocate_tensors()
        (source,), (target,) = plain.get_input_details(), plain.get_output_details()
        answers.append([])
        for pixels in np.random.default_rng(1).integers(-128, 128, (8, 1, 8, 8, 3)).astype(np.int8):
            plain.set_tensor(source["index"], pixels)
            plain.invoke()
            answers[-1].append(plain.get_tensor(target["index"])[0])
    np.testing.assert_array_equal(*answers)
    assert len(np.unique(answers[0])) > 4
    for said in ({"pixels": "0..1"}, {"labels": list("abcd")}, {"io_dtype": "uint8"}):
        with pytest.raises(UserError, match=f"{next(iter(said))}= is not for"):
            tflite.convert(quantized, tmp_path / "m.tflite", **said)
