"""Evaluation against TensorFlow's own interpreter, and what it refuses."""

import subprocess
import sys

import numpy as np
import pytest

from keras_mobilenets import preprocess_input, tflite
from keras_mobilenets.errors import UserError
from keras_mobilenets.pixels.batches import quantize, to_input
from keras_mobilenets.pixels.scaling import MINUS_ONE_TO_ONE
from keras_mobilenets.tflite.measurement.evaluation import agreement, max_abs_err, score
from keras_mobilenets.training.evaluation import precision_recall


def by_tensorflow(path, inputs):
    """Raw outputs of tf.lite.Interpreter, which shares no code with `evaluate`."""
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(str(path))
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    outputs = []
    for value in inputs:
        interpreter.set_tensor(source["index"], value[None])
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(target["index"])[0])
    return np.stack(outputs)


@pytest.fixture(scope="module")
def labels(keras_model, pixels):
    """The float model's own answers, every third one changed: float top-1 is two thirds."""
    answers = keras_model.predict(pixels / 127.5 - 1, batch_size=1, verbose=0).argmax(axis=1)
    answers[::3] = (answers[::3] + 1) % 7
    return answers


def test_float_top1_equals_tensorflows_interpreter(tflite_files, pixels, labels):
    result = tflite.evaluate(tflite_files["float32"], (pixels, labels))
    expected = by_tensorflow(tflite_files["float32"], (pixels / 127.5 - 1).astype(np.float32))
    assert result.top1 == np.mean(expected.argmax(axis=1) == labels) == pytest.approx(40 / 60)
    assert result.images == 60
    np.testing.assert_allclose(result.predictions, expected, atol=1e-5)


def test_int8_predictions_equal_tensorflows_interpreter(tflite_files, pixels, labels):
    result = tflite.evaluate(tflite_files["int8"], (pixels, labels))
    raw = by_tensorflow(tflite_files["int8"], (pixels.astype(int) - 128).astype(np.int8))
    np.testing.assert_allclose(result.predictions, (raw.astype(np.float32) + 128) / 256, atol=1e-7)
    assert result.top1 == np.mean(raw.argmax(axis=1) == labels)


def test_int8_agrees_with_keras_on_nearly_all_images(tflite_files, pixels, keras_model):
    result = tflite.evaluate(tflite_files["int8"], pixels)
    expected = keras_model.predict(pixels / 127.5 - 1, batch_size=1, verbose=0)
    assert agreement(result, expected) >= 0.9
    assert 0 < max_abs_err(result, expected) < 0.2


def test_top5_counts_the_five_highest(tflite_files, pixels, labels):
    result = tflite.evaluate(tflite_files["float32"], (pixels, labels))
    ranked = [sorted(range(7), key=lambda c: -row[c])[:5] for row in result.predictions]
    assert result.top5 == np.mean([label in best for label, best in zip(labels, ranked, strict=True)])
    assert score(np.eye(5), np.arange(5)).top5 is None


@pytest.mark.parametrize("name", ["float32", "int8"])
def test_arrays_and_tf_data_of_pixels_or_scaled_floats_give_the_same(tflite_files, pixels, labels, name):
    import tensorflow as tf

    scaled = preprocess_input(pixels)
    expected = tflite.evaluate(tflite_files[name], (pixels, labels))
    for data in (
        (scaled, labels),
        (pixels, np.eye(7)[labels]),
        tf.data.Dataset.from_tensor_slices((pixels, labels)).batch(16),
        tf.data.Dataset.from_tensor_slices((scaled, labels)),
    ):
        result = tflite.evaluate(tflite_files[name], data)
        assert (result.top1, result.top5, result.images) == (expected.top1, expected.top5, 60)
        np.testing.assert_array_equal(result.predictions, expected.predictions)


def test_limit_stops_within_a_batch(tflite_files, pixels, labels):
    result = tflite.evaluate(tflite_files["float32"], (pixels, labels), limit=7)
    assert result.images == len(result.labels) == 7


def test_images_alone_give_predictions_without_scores(tflite_files, pixels):
    result = tflite.evaluate(tflite_files["float32"], pixels[:3])
    assert (result.top1, result.top5, result.labels, result.predictions.shape) == (None, None, None, (3, 7))


@pytest.mark.parametrize("zero_point", [-1, 0])
def test_every_pixel_reaches_an_int8_model_as_pixel_minus_128(zero_point):
    every = np.arange(256, dtype=np.uint8)
    quantization = (1 / 127.5, zero_point)
    np.testing.assert_array_equal(to_input(every, MINUS_ONE_TO_ONE, np.int8, quantization), np.arange(-128, 128))
    np.testing.assert_array_equal(
        to_input(preprocess_input(every), MINUS_ONE_TO_ONE, np.int8, quantization), np.arange(-128, 128)
    )


def test_every_pixel_reaches_a_uint8_model_as_it_is():
    every = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(to_input(every, MINUS_ONE_TO_ONE, np.uint8, (1 / 127.5, 127)), every)
    np.testing.assert_array_equal(
        to_input(preprocess_input(every), MINUS_ONE_TO_ONE, np.uint8, (1 / 127.5, 128)), every
    )


def test_another_input_scale_follows_the_quantization_formula():
    values = np.array([-2.0, -0.5, 0.0, 0.26, 2.0], np.float32)
    np.testing.assert_array_equal(quantize(values, np.int8, (0.02, 10)), [-90, -15, 10, 23, 110])
    np.testing.assert_array_equal(quantize(values, np.int8, (0.01, 100)), [-100, 50, 100, 126, 127])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (np.zeros((2, 16, 16, 3), np.uint8), ("16×16×3", "32×32×3")),
        (np.zeros((2, 32, 32, 1), np.uint8), ("32×32×1", "32×32×3")),
        (np.zeros((0, 32, 32, 3), np.uint8), ("no images",)),
        (np.zeros((32, 32), np.uint8), ("(32, 32)", "N×height×width×channels")),
        (np.linspace(-200, 200, 3072).reshape(1, 32, 32, 3), ("-200 to 200", "no usual range", "uint8")),
        (np.full((1, 32, 32, 3), np.nan), ("NaN",)),
        (np.full((1, 32, 32, 3), -5), ("pixels 0..255",)),
        ((np.zeros((2, 32, 32, 3), np.uint8), np.zeros(3, int)), ("2 images", "3 labels")),
        ((np.zeros((2, 32, 32, 3), np.uint8), np.array([0, 7])), ("7", "7 classes")),
        ((np.zeros((2, 32, 32, 3), np.uint8), np.array([0.5, 1.5])), ("no class numbers",)),
        ((np.zeros((2, 32, 32, 3), np.uint8), np.array([0, np.nan])), ("no class numbers",)),
        ((np.zeros((2, 32, 32, 3), np.uint8), np.array([[1, 1, 0], [0, 0, 1]])), ("one for each image",)),
        (5, ("int",)),
    ],
)
def test_data_that_does_not_fit_is_refused_in_one_line(tflite_files, data, words):
    with pytest.raises(UserError) as refused:
        tflite.evaluate(tflite_files["float32"], data)
    assert "\n" not in str(refused.value)
    assert all(word in str(refused.value) for word in words), refused.value


def damaged_files(good):
    content = good.read_bytes()
    yield "missing", None
    yield "empty", b""
    yield "text", b"this is no model at all"
    yield "cut", content[: len(content) // 2]
    yield "header", content[:8]
    yield "scrambled", content[:8] + bytes(reversed(content[8:]))


@pytest.mark.parametrize(
    "run", [lambda path: tflite.evaluate(path, np.zeros((1, 32, 32, 3), np.uint8)), tflite.benchmark]
)
def test_a_file_that_is_no_model_is_refused_in_one_line(tflite_files, tmp_path, run):
    for name, content in damaged_files(tflite_files["int8"]):
        path = tmp_path / f"{name}.tflite"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(UserError) as refused:
            run(path)
        assert path.name in str(refused.value) and "\n" not in str(refused.value), name


def test_importing_the_package_loads_no_runtime_and_its_names_are_the_functions():
    code = (
        "import sys; from keras_mobilenets import tflite;"
        "assert not {'tensorflow', 'keras', 'ai_edge_litert', 'numpy', 'matplotlib'} & set(sys.modules);"
        "import keras_mobilenets.tflite.measurement.accuracy, keras_mobilenets.tflite.reports.page;"
        "assert not {'tensorflow', 'keras', 'ai_edge_litert'} & set(sys.modules);"
        "wrong = [name for name in tflite.__all__ if not callable(getattr(tflite, name))]; assert not wrong, wrong"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_opening_a_model_prints_nothing(tflite_files, capfd):
    tflite.evaluate(tflite_files["float32"], np.zeros((1, 32, 32, 3), np.uint8))
    assert capfd.readouterr() == ("", "")


def test_several_labels_an_image_give_average_precision_and_f1(tflite_files, pixels, labels):
    """Rows of 0 and 1: the label's own class, and class 2 on every fourth image; whatever the outputs say of it."""
    rows = np.eye(7, dtype=int)[labels]
    rows[::4, 2] = 1
    result = tflite.evaluate(tflite_files["int8"], (pixels, rows), several=True)
    ranked = np.argsort(-result.predictions[:, 2], kind="stable")
    assert len(set(result.predictions[ranked, 2])) > 10  # ties are few, and judged together
    expected = precision_recall.average_precision(result.predictions, rows)
    np.testing.assert_array_equal(result.average_precision, expected)
    assert result.top1 is None and set(result.figures) == {"map", "f1"}
    assert result.per_class("abcdefg")["c"]["average_precision"] == pytest.approx(expected[2])
    assert "mAP" in str(result) and "top-1" not in str(result)
    with pytest.raises(UserError, match="rows of 0 and 1"):
        tflite.evaluate(tflite_files["int8"], (pixels, labels), several=True)
    with pytest.raises(UserError, match="3 labels but the model has 7 outputs"):
        tflite.evaluate(tflite_files["int8"], (pixels, rows[:, :3]), several=True)
