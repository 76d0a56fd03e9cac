"""The channel split and shuffle of ShuffleNet."""

import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_mobilenets import UserError, blocks


def _shuffled_halves(size):
    image = keras.Input((*size, 12))
    first, second = blocks.channel_split(image, name="split")
    joined = keras.layers.Concatenate(name="join")([second, first])
    return keras.Model(image, blocks.channel_shuffle(joined, 3, name="shuffle"))


@pytest.mark.parametrize("size", [(4, 5), (None, None)])
def test_split_and_shuffle_move_channels_as_the_papers_say(size):
    images = np.random.default_rng(0).random((2, 4, 5, 12), np.float32)
    joined = np.concatenate([images[..., 6:], images[..., :6]], -1)
    # ShuffleNet, section 3.1: reshape to (groups, n), transpose, flatten.
    expected = joined.reshape(2, 4, 5, 3, 4).swapaxes(3, 4).reshape(2, 4, 5, 12)
    assert np.array_equal(np.asarray(_shuffled_halves(size)(images)), expected)


def test_a_network_of_known_size_is_of_plain_layers():
    for layer in _shuffled_halves((4, 5)).layers:
        assert getattr(keras.layers, type(layer).__name__) is type(layer), layer.name


def test_layers_of_the_package_load_in_safe_mode_in_a_process_that_has_not_built_one(tmp_path):
    _shuffled_halves((None, None)).save(tmp_path / "m.keras")
    program = (
        "import sys; from keras_mobilenets.weights.saved_model import load_model;"
        "print(load_model(sys.argv[1]).output_shape)"
    )
    run = subprocess.run([sys.executable, "-c", program, tmp_path / "m.keras"], capture_output=True, text=True)
    assert run.stdout.strip() == "(None, None, None, 12)", run.stderr


def test_channels_that_do_not_divide_are_an_error_of_one_line():
    with pytest.raises(UserError, match="cut: 3 channels cannot be split"):
        blocks.channel_split(keras.Input((8, 8, 3)), name="cut")
    with pytest.raises(UserError, match="mix: 12 channels cannot be shuffled in 5 groups"):
        blocks.channel_shuffle(keras.Input((8, 8, 12)), 5, name="mix")
