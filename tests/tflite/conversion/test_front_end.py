"""Networks that hear: int8 behind a front end in float, the same with the features as input, on every runtime alike."""

import keras
import numpy as np
import pytest

import keras_mobilenets as km
from keras_mobilenets import UserError, tflite, training
from keras_mobilenets.tflite.runtime.interpreter import open_model
from keras_mobilenets.tflite.targets.accelerators import micro
from keras_mobilenets.training.engine.batch_normalization import estimate_statistics
from keras_mobilenets.waveforms.features import FEATURES

CLASSES = ["_silence_", "no", "yes"]


@pytest.fixture(scope="module")
def waveforms():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((24, 8_000)) * 10 ** rng.uniform(-2.5, -0.5, (24, 1))
    tones = np.sin(np.arange(8_000) * rng.uniform(0.02, 1, (24, 1)))
    return (0.5 * noise + 0.2 * tones).clip(-1, 1).astype(np.float32)


@pytest.fixture(scope="module")
def networks(waveforms):
    """A network with its front end, and the same that takes features."""
    keras.utils.set_random_seed(0)
    hears = km.DSCNNSmall((8_000,), alpha=0.25, classes=3, dropout_rate=0)
    sees = km.DSCNNSmall((8_000,), alpha=0.25, classes=3, dropout_rate=0, front_end=False)
    sees.set_weights(estimate_statistics(hears, waveforms).get_weights())
    return hears, sees


@pytest.fixture(scope="module")
def files(networks, waveforms, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    features = FEATURES["mfcc"].values(waveforms)
    how = {"quantize": "int8", "effort": "low", "target": "litert"}
    return (
        tflite.convert(networks[0], folder / "hears_int8.tflite", calibration=waveforms, labels=CLASSES, **how),
        tflite.convert(networks[1], folder / "sees_int8.tflite", calibration=features, **how),
        features,
    )


def test_int8_begins_behind_the_front_end_and_answers_as_with_features(files, networks, waveforms):
    hears, sees, features = files
    source, inner = open_model(hears).input, open_model(sees).input
    assert (source["name"], source["dtype"]) == ("waveform", np.float32)
    assert (inner["name"], inner["dtype"]) == ("mfcc", np.int8)
    answers = [tflite.evaluate(path, x).predictions for path, x in ((hears, waveforms), (sees, features))]
    # A feature between two steps of int8 may fall to either side: NumPy sums in another order than XNNPACK.
    assert np.abs(answers[0] - answers[1]).max() <= 2 / 256
    assert np.abs(answers[0] - networks[0](waveforms).numpy()).max() < 0.06
    assert tflite.inspect(hears).metadata.labels == tuple(CLASSES)


@pytest.mark.skipif(not micro.ENVIRONMENT.is_ready(), reason=micro.ENVIRONMENT.missing())
def test_microcontrollers_give_the_bits_of_the_reference_kernels(files, waveforms, tmp_path):
    for path, x, most in zip(files[:2], (waveforms[:6], files[2][:6]), (1 / 256, 0), strict=True):
        answers = [tflite.evaluate(path, x, on=on).predictions for on in ("reference", "micro")]
        assert np.abs(answers[0] - answers[1]).max() <= most  # features in float may fall to either side of a step
    header, source = tflite.c_source(files[1], tmp_path)
    said, content = header.read_text("utf-8"), source.read_text("utf-8")
    stored = content.split("kModel[] = {")[1].split("}")[0].replace(",", " ").split()
    assert bytes(int(byte, 16) for byte in stored) == files[1].read_bytes()
    assert "resolver.AddDepthwiseConv2D();" in said and "kInputZeroPoint" in said
    assert int(said.split("kArenaBytes = ")[1].split(";")[0]) >= micro.check(files[1]).memory["arena"]


def test_quantization_aware_training_leaves_the_front_end_in_float(networks, waveforms, tmp_path):
    aware = training.quantize_aware(networks[0], waveforms)
    kinds = {layer.name: layer for layer in training.quantized_layers(aware)}
    assert kinds["features"].in_float and not kinds["stem"].in_float
    path = tflite.convert(aware, tmp_path / "aware_int8.tflite", target="litert")
    assert open_model(path).input["dtype"] == np.float32
    assert np.abs(tflite.evaluate(path, waveforms).predictions - aware(waveforms).numpy()).max() < 0.03


def test_words_are_found_in_a_stream(files):
    rng = np.random.default_rng(0)
    samples = 1e-3 * rng.standard_normal(80_000).astype(np.float32)
    stream = training.Stream(samples, [(1.0, 1), (3.0, 2)], CLASSES)
    found = tflite.evaluate_stream(files[0], stream, step=0.5)
    assert found.words == 2 and found.hours == 5 / 3600
    assert found.false_alarms_per_hour == found.false_alarms * 720
    with pytest.raises(UserError, match="has 3 classes, and the stream 2"):
        tflite.evaluate_stream(files[0], stream._replace(class_names=["no", "yes"]), step=1.0)


def test_values_that_do_not_fit_are_one_line(files, waveforms):
    for wrong in (waveforms[:, :100], np.zeros((2, 8_000), np.int16), np.full((1, 8_000), np.nan, np.float32)):
        with pytest.raises(UserError, match="takes finite floats N×8000, not") as caught:
            tflite.evaluate(files[0], wrong)
        assert "\n" not in str(caught.value)
