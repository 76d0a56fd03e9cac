"""Features of speech beside TensorFlow's own (tf.signal), in NumPy, as a layer, and in a .tflite without Flex."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

import keras_mobilenets as km
from keras_mobilenets import blocks, tflite
from keras_mobilenets.waveforms.features import FEATURES, SpeechFeatures

WAVEFORMS = np.random.default_rng(0).standard_normal((3, 16_000)) * np.array([[1e-3], [0.03], [0.3]])
WAVEFORMS = WAVEFORMS.clip(-1, 1).astype(np.float32)


def by_tensorflow(features):
    length = features.fft_length or features.window_samples
    spectra = tf.abs(tf.signal.stft(WAVEFORMS, features.window_samples, features.stride_samples, length))
    filters = tf.signal.linear_to_mel_weight_matrix(
        features.mels, length // 2 + 1, features.sample_rate, features.low, features.high
    )
    logarithms = tf.math.log(tf.tensordot(spectra, filters, 1) + 1e-6)
    if features.kind == "log_mel":
        return logarithms.numpy()
    return tf.signal.mfccs_from_log_mel_spectrograms(logarithms)[..., : features.coefficients].numpy()


@pytest.mark.parametrize("name", FEATURES)
def test_features_are_those_of_tensorflow(name):
    features, expected = FEATURES[name], by_tensorflow(FEATURES[name])[..., None]
    assert features.shape(16_000) == expected.shape[1:]
    np.testing.assert_allclose(features.values(WAVEFORMS), expected, atol=1e-4)
    np.testing.assert_allclose(blocks.SpeechFrontEnd(features)(WAVEFORMS), expected, atol=1e-4)


def test_the_front_end_converts_without_flex(tmp_path):
    waveform = keras.Input((16_000,), name="waveform")
    model = keras.Model(waveform, blocks.speech_front_end(waveform, name="features"), name="front_end")
    model.save(tmp_path / "front_end.keras")
    path = tflite.convert(tmp_path / "front_end.keras", tmp_path / "front_end.tflite")
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    (source,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
    for one, expected in zip(WAVEFORMS, by_tensorflow(SpeechFeatures()), strict=True):
        interpreter.set_tensor(source["index"], one[None])
        interpreter.invoke()
        np.testing.assert_allclose(interpreter.get_tensor(answer["index"])[0, ..., 0], expected, atol=1e-4)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kind": "plp"}, 'kind must be "mfcc" or "log_mel"'),
        ({"coefficients": 41}, "coefficients must be 1 to 40"),
        ({"high": 9_000.0}, "high must be 8000 Hz or less"),
        ({"fft_length": 512}, "fft_length must be None, or the window or more"),
    ],
)
def test_what_cannot_be_is_one_line(wrong, message):
    with pytest.raises(km.UserError, match=message):
        SpeechFeatures(**wrong)
    with pytest.raises(km.UserError, match="300 samples is shorter than a frame of 640"):
        SpeechFeatures().shape(300)
