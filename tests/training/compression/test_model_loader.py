"""Models from files of every kind: Keras's own answers, or one line."""

import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
import tf_keras

from keras_mobilenets import tflite, training
from keras_mobilenets.errors import UserError

SIZE = 32


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model of a backbone and a head as every kind of file, and what others leave in a folder."""
    folder = tmp_path_factory.mktemp("models")
    make = f"""
import keras, tf_keras
layers = tf_keras.layers
image = tf_keras.Input(({SIZE}, {SIZE}, 3))
body = tf_keras.applications.MobileNetV2(input_shape=({SIZE}, {SIZE}, 3), alpha=0.35, include_top=False, weights=None)
x = tf_keras.applications.mobilenet_v2.preprocess_input(layers.RandomFlip()(image))
x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(body(x)))
tuned = tf_keras.Model(image, layers.Dense(5, activation="softmax")(x), name="tuned")
tuned.save("tuned.h5"); tuned.save("tuned.keras"); tuned.save("tuned", save_format="tf")
tuned.save_weights("weights.h5")
twice = tf_keras.Sequential([layers.Lambda(lambda x: 2 * x, input_shape=(4, 4, 1)), layers.Flatten()])
twice.save("lambda.h5"); twice.save("lambda_2.keras")
new = [keras.Input(({SIZE}, {SIZE}, 3)), keras.layers.Conv2D(8, 3), keras.layers.GlobalAveragePooling2D()]
new = keras.Sequential(new)
new.save("new.h5"); new.save("new.keras"); new.save_weights("new.weights.h5")
new.export("exported", verbose=False)
keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Lambda(lambda x: 2 * x)]).save("lambda_3.keras")
class Scale(keras.layers.Layer):
    def call(self, x): return 2 * x
class OldScale(layers.Layer):
    def call(self, x): return 2 * x
keras.Sequential([keras.Input((4, 4, 1)), Scale()]).save("custom.keras")
tf_keras.Sequential([tf_keras.Input((4, 4, 1)), OldScale()]).save("custom.h5")
tf_keras.Sequential([tf_keras.Input((4, 4, 1)), OldScale()]).save("custom_2.keras")
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", make], cwd=folder, check=True, capture_output=True)
    (folder / "nothing").mkdir()
    (folder / "empty.keras").write_bytes(b"")
    (folder / "cut.keras").write_bytes((folder / "new.keras").read_bytes()[:2000])
    (folder / "cut.h5").write_bytes((folder / "new.h5").read_bytes()[:3000])
    (folder / "pickle.pt").write_bytes(b"\x80\x02}q\x00.")
    with zipfile.ZipFile(folder / "torch.pt", "w") as archive:
        archive.writestr("archive/data.pkl", b"")
    return folder


@pytest.mark.parametrize(
    "name", ["tuned.keras", *(pytest.param(n, marks=pytest.mark.slow) for n in ("tuned.h5", "tuned"))]
)
def test_keras_2_becomes_keras_3_with_the_same_answers(folder, name):
    images = np.random.default_rng(0).uniform(0, 255, (4, SIZE, SIZE, 3)).astype("float32")
    expected = tf_keras.models.load_model(folder / name, compile=False)(images, training=False)

    model = training.load_model(folder / name)

    assert isinstance(model, keras.Model)
    np.testing.assert_allclose(model(images, training=False), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["new.h5", "new.keras"])
def test_whole_models_of_keras_3(folder, name):
    image = np.random.default_rng(0).uniform(-1, 1, (1, SIZE, SIZE, 3)).astype("float32")
    expected = keras.models.load_model(folder / name, compile=False)(image)
    np.testing.assert_allclose(training.load_model(folder / name)(image), expected)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("weights.h5", "holds weights alone"),
        ("new.weights.h5", "holds weights alone"),
        ("lambda.h5", r"holds Python code \(a Lambda layer\)"),
        ("lambda_2.keras", r"holds Python code \(a Lambda layer\)"),
        ("lambda_3.keras", r"holds Python code \(a Lambda layer\)"),
        ("custom.keras", "needs Scale, .* import the module"),
        ("custom.h5", "needs OldScale, .* import the module"),
        ("custom_2.keras", "needs OldScale, .* import the module"),
        ("exported", "exported to compute only: tflite.convert takes it"),
        ("exported/saved_model.pb", "give its folder"),
        ("nothing", "is no SavedModel folder"),
        ("empty.keras", "is empty"),
        ("cut.keras", "was cut off"),
        ("cut.h5", "was cut off"),
        ("pickle.pt", "is not a .keras file"),
        ("torch.pt", "holds no Keras model"),
        ("none.keras", "does not exist"),
    ],
)
def test_what_holds_no_model_is_refused_in_one_line(folder, name, says):
    with pytest.raises(UserError, match=says) as refused:
        training.load_model(folder / name)
    assert "\n" not in str(refused.value)


def test_tf_keras_activations_of_another_meaning_stay(tmp_path):
    """Keras 2's hard_sigmoid has a slope of 0.2, Keras 3's of 1/6: such a model stays what it is."""
    model = tf_keras.Sequential([tf_keras.layers.Conv2D(8, 3, activation="hard_sigmoid", input_shape=(8, 8, 3))])
    model.save(tmp_path / "m.h5")
    image = np.random.default_rng(0).uniform(-3, 3, (1, 8, 8, 3)).astype("float32")

    loaded = training.load_model(tmp_path / "m.h5")

    assert isinstance(loaded, tf_keras.Model)
    np.testing.assert_allclose(loaded(image), model(image), atol=1e-6)


@pytest.mark.parametrize("quantize", ["none", "int8"])
def test_exported_models_convert(folder, tmp_path, quantize):
    from ai_edge_litert.interpreter import Interpreter

    images = np.random.default_rng(0).uniform(-1, 1, (8, SIZE, SIZE, 3)).astype("float32")
    calibration = {"calibration": images, "effort": "low"} if quantize == "int8" else {}
    path = tflite.convert(folder / "exported", tmp_path / "m.tflite", quantize=quantize, **calibration)
    expected = keras.models.load_model(folder / "new.keras", compile=False)(images[:1])

    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero = source["quantization"]
    values = np.rint(images[:1] / scale + zero).clip(-128, 127) if scale else images[:1]
    interpreter.set_tensor(source["index"], values.astype(source["dtype"]))
    interpreter.invoke()
    scale, zero = target["quantization"]
    found = interpreter.get_tensor(target["index"])
    found = (found - np.float32(zero)) * scale if scale else found
    np.testing.assert_allclose(found, expected, atol=1e-5 if quantize == "none" else 0.05 * np.abs(expected).max())
