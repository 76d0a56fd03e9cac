"""What the pixels of a .tflite mean, seen in its answers: a network tells five brightnesses apart, or it does not."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers

from keras_mobilenets import tflite
from keras_mobilenets.errors import UserError
from keras_mobilenets.pixels.scaling import PixelWarning, said
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.runtime.input_scaling import scaling_of_file
from keras_mobilenets.training import grad_cam, quantize_aware

# What is in front of the network, what it takes, and whether the model says it.
FRONTS = {
    "Rescaling(1/255)": (lambda: [layers.Rescaling(1 / 255)], "0..255", True),
    "augmentation, Rescaling(1/127.5, -1)": (
        lambda: [layers.RandomFlip(), layers.Rescaling(1 / 127.5, -1)],
        "0..255",
        True,
    ),
    "trained on 0..1": (list, "0..1", False),
    "trained as PyTorch does": (list, "imagenet", False),
}


@pytest.fixture(scope="module")
def brightness():
    """Images uint8 of five brightnesses, and which it is."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 200)
    tone = np.array([20, 70, 120, 170, 220])[labels][:, None, None, None]
    return np.clip(tone + rng.normal(0, 8, (200, 16, 16, 3)), 0, 255).astype(np.uint8), labels


@pytest.fixture(scope="module")
def trained(brightness):
    """A network behind one of `FRONTS` that is right of every image, by Keras's own evaluation."""
    made = {}

    def train(front):
        if front not in made:
            images, labels = brightness
            keras.utils.set_random_seed(0)
            body = [layers.Conv2D(16, 3, strides=2, activation="relu"), layers.GlobalAveragePooling2D()]
            head = [layers.Dense(32, activation="relu"), layers.Dense(5, activation="softmax")]
            model = keras.Sequential([keras.Input((16, 16, 3)), *FRONTS[front][0](), *body, *head])
            model.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy", metrics=["accuracy"])
            values = said(FRONTS[front][1]).values(images)
            model.fit(values, labels, epochs=60, batch_size=50, verbose=0)
            assert model.evaluate(values, labels, verbose=0)[1] == 1.0
            made[front] = model
        return made[front]

    return train


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("how", ["float32", "int8 of uint8", "int8 of floats", "int8 with uint8 ends"])
def test_a_converted_file_is_right_of_uint8_images(front, how, trained, brightness, tmp_path):
    (images, labels), (_, name, is_known) = brightness, FRONTS[front]
    calibration = said(name).values(images) if how == "int8 of floats" else images
    quantization = {"quantize": "int8", "effort": "low", "calibration": calibration[:60]}
    if how == "float32":
        quantization = {"quantize": "none"}
    more = {"io_dtype": "uint8"} if how == "int8 with uint8 ends" else {}
    path = tmp_path / "m.tflite"
    tflite.convert(trained(front), path, **quantization, **more, pixels=None if is_known else name)
    assert str(scaling_of_file(path)) == name
    assert tflite.evaluate(path, (images, labels)).top1 == 1.0
    assert tflite.evaluate(path, (said(name).values(images), labels)).top1 == 1.0


@pytest.mark.parametrize(("front", "scale"), [("Rescaling(1/255)", 1.0), ("trained on 0..1", 1 / 255)])
def test_a_step_of_the_int8_input_is_a_step_of_a_pixel(front, scale, trained, brightness, tmp_path):
    images, labels = brightness
    dim = images[labels < 3]  # whose brightest pixel is far below 255
    path = tmp_path / "m.tflite"
    tflite.convert(trained(front), path, quantize="int8", effort="low", calibration=dim, pixels=FRONTS[front][1])
    model = flatbuffer.read(path.read_bytes())
    assert flatbuffer.scales(model.subgraphs[0].tensors[model.subgraphs[0].inputs[0]]) == (
        (pytest.approx(scale),),
        -128,
    )


@pytest.mark.parametrize("front", ["Rescaling(1/255)", "trained on 0..1", "trained as PyTorch does"])
@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_a_stock_file_says_by_its_range_what_it_takes(front, dtype, trained, brightness, tmp_path):
    import tensorflow as tf

    images, labels = brightness
    values = said(FRONTS[front][1]).values(images)
    converter = tf.lite.TFLiteConverter.from_keras_model(trained(front))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[None]] for image in values[:100])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = getattr(tf, dtype)
    path = tmp_path / "stock.tflite"
    path.write_bytes(converter.convert())
    interpreter = tf.lite.Interpreter(str(path))
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    scale, zero_point = source["quantization"]
    limits, right = np.iinfo(dtype), 0
    for image, label in zip(values, labels, strict=True):
        stored = np.clip(np.rint(image / scale) + zero_point, limits.min, limits.max).astype(dtype)
        interpreter.set_tensor(source["index"], stored[None])
        interpreter.invoke()
        right += interpreter.get_tensor(target["index"])[0].argmax() == label
    assert right == len(labels)
    assert tflite.evaluate(path, (images, labels)).top1 == 1.0


def test_a_float_file_that_says_nothing_is_said_to_be_assumed(trained, brightness, tmp_path):
    path = tmp_path / "m.tflite"
    with pytest.warns(PixelWarning, match=r"-1..1 is assumed; say it by pixels=") as said_of_model:
        tflite.convert(trained("trained on 0..1"), path)
    with pytest.warns(PixelWarning, match=r"m.tflite does not say what its pixels mean: -1..1 is assumed") as of_file:
        wrong = tflite.evaluate(path, brightness).top1
    assert {each.filename for each in (*said_of_model, *of_file) if each.category is PixelWarning} == {__file__}
    assert wrong < tflite.evaluate(path, brightness, pixels="0..1").top1 == 1.0


def test_a_float_file_carries_what_calibration_shows(trained, brightness, tmp_path):
    (images, labels), path = brightness, tmp_path / "m.tflite"
    with pytest.warns(PixelWarning, match=r"0..1 is assumed, since its images run"):
        tflite.convert(trained("trained on 0..1"), path, calibration=said("0..1").values(images))
    assert tflite.evaluate(path, (images, labels)).top1 == 1.0


@pytest.mark.parametrize("name", ["0..1", "0..255", "imagenet"])
def test_floats_are_given_as_they_are_to_a_file_that_says_nothing(name, trained, brightness, tmp_path):
    front = {"0..1": "trained on 0..1", "0..255": "Rescaling(1/255)", "imagenet": "trained as PyTorch does"}[name]
    import tensorflow as tf

    (images, labels), path = brightness, tmp_path / "stock.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(trained(front)).convert())
    with warnings.catch_warnings(record=True) as said_so:
        warnings.simplefilter("always", PixelWarning)
        assert tflite.evaluate(path, (said(name).values(images), labels)).top1 == 1.0  # in several batches
    assert [f"{name} is assumed, since" in str(each.message) for each in said_so] == [True]


@pytest.mark.parametrize(
    ("front", "values", "words"),
    [
        ("Rescaling(1/255)", "-1..1", "run from -1 to .* takes 0 to 255"),
        ("Rescaling(1/255)", "0..1", "run from 0.* to .* takes 0 to 255"),
        ("trained on 0..1", "0..255", "run from 0 to .* takes 0 to 1"),
    ],
)
def test_images_outside_of_the_range_are_refused_with_both_ranges(front, values, words, trained, brightness, tmp_path):
    images = said(values).values(brightness[0][:9])
    model, pixels = trained(front), FRONTS[front][1]
    for run in (
        lambda: tflite.convert(
            model, tmp_path / "m.tflite", quantize="int8", effort="low", calibration=images, pixels=pixels
        ),
        lambda: tflite.sensitivity(model, images, pixels=pixels),
        lambda: quantize_aware(model, images, pixels=pixels),
        lambda: grad_cam(model, images, pixels=pixels),
    ):
        with pytest.raises(UserError, match=words):
            run()


def test_other_readers_scale_uint8_images_as_the_model_wants(trained, brightness, tmp_path):
    model, (images, labels), path = trained("Rescaling(1/255)"), brightness, tmp_path / "m.tflite"
    assert tflite.sensitivity(model, (images, labels), limit=40).float_top1 == 1.0
    tflite.convert(model, path, quantize="int8", effort="low", calibration=images[:60])
    assert min(error.sqnr_db for error in tflite.layer_errors(model, path, images, 20).errors) > 20
    np.testing.assert_allclose(grad_cam(model, images[:3]), grad_cam(model, images[:3].astype(np.float32)), atol=1e-5)
    aware = quantize_aware(trained("trained on 0..1"), images[:60], pixels="0..1")
    tflite.convert(aware, path)
    assert str(scaling_of_file(path)) == "0..1"
    assert tflite.evaluate(path, (images, labels)).top1 == 1.0
