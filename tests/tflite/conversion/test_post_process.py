"""What a detector's .tflite finds, beside TensorFlow's own suppression of the Keras model's answers."""

import numpy as np
import pytest
from networks import answers, small_detector

from keras_mobilenets import tflite, training
from keras_mobilenets.models.detection.anchors import anchors_of
from keras_mobilenets.tflite.measurement.box_accuracy import evaluate_boxes
from keras_mobilenets.training.tasks.detection.suppression import found


@pytest.mark.parametrize("threads", [1, 2, 3, 4, 16])
def test_however_many_threads_no_class_is_left_out(detector_files, pixels, threads):
    model, images = small_detector(), pixels[:8]
    expected = found(answers(model, images / np.float32(127.5) - 1), anchors_of(model))
    actual = evaluate_boxes(detector_files["float32"], images, threads=threads).found
    for one, other in zip(expected, actual, strict=True):
        assert set(one.classes) == {0, 1, 2}
        np.testing.assert_array_equal(one.classes, other.classes)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)
        np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-4)


def test_a_quantization_aware_detector_finds_what_its_int8_file_does(pixels, tmp_path):
    trained = training.quantize_aware(small_detector(), pixels, pixels="-1..1")
    path = tflite.convert(trained, tmp_path / "trained.tflite")
    expected = found(np.asarray(trained(pixels / np.float32(127.5) - 1, training=False)), anchors_of(trained))
    scores = [[each.scores[:3] for each in side] for side in (expected, tflite.evaluate(path, pixels).found)]
    assert np.mean(scores[0]) > 0.3  # they are sure of something
    np.testing.assert_allclose(*scores, atol=0.1)
