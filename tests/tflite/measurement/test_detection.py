"""Detections in the scores of a sliding window: each word once, alarms where there is none."""

import numpy as np

from keras_mobilenets.tflite.measurement.detection import compared, detections
from keras_mobilenets.training.datasets.speech.stream import Stream

NAMES = ["_silence_", "no", "yes"]


def scores(*words, windows=100, width=4):
    """Windows of 0.1 s: silence, and a word for `width` windows around each (window, class)."""
    rows = np.tile([0.9, 0.05, 0.05], (windows, 1))
    for place, label in words:
        rows[place : place + width] = np.where(np.arange(3) == label, 0.9, 0.05)
    return rows


def found_in(rows, words):
    found = detections(rows, 0.1, 0.5, 0.7, 3, 1.0, quiet=[0])
    return found, compared(found, Stream(np.zeros(16_000 * 11, np.float32), words, NAMES))


def test_each_word_is_one_detection_at_its_place():
    found, result = found_in(scores((20, 1), (60, 2)), [(2.7, 1), (6.7, 2)])
    assert [(round(each.second, 1), each.label) for each in found] == [(2.6, 1), (6.6, 2)]
    assert (result.hits, result.wrong, result.false_alarms, result.hit_rate) == (2, 0, 0, 1.0)


def test_what_is_missed_mistaken_or_nothing_is_counted():
    _, result = found_in(scores((20, 2), (60, 1)), [(2.7, 1), (9.0, 2)])
    assert (result.hits, result.wrong, result.false_alarms) == (0, 1, 1)
    np.testing.assert_allclose(result.false_alarms_per_hour, 3600 / 11)


def test_one_window_is_no_word_and_a_long_one_is_found_once():
    found, _ = found_in(scores((20, 1), width=1), [])
    assert not found
    found, _ = found_in(scores((20, 1), width=10), [(2.9, 1)])
    assert len(found) == 1
