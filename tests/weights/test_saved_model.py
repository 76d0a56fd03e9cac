import json
import zipfile

import keras
import numpy as np
import pytest

from keras_mobilenets import blocks
from keras_mobilenets.weights.saved_model import load_model


@pytest.mark.parametrize("module", ["keras_mobilenets.blocks", "a_module_that_was_moved"])
def test_a_file_loads_wherever_its_layers_have_moved(module, tmp_path):
    """A custom layer is found by its registered name; the module that the file records may be of another release."""
    x = image = keras.Input((None, None, 8))
    x = blocks.channel_shuffle(x, 2, name="shuffle")
    x = keras.layers.Concatenate()(blocks.channel_split(x, name="split"))
    saved = keras.Model(image, x)
    saved.save(tmp_path / "saved.keras")
    with zipfile.ZipFile(tmp_path / "saved.keras") as old, zipfile.ZipFile(tmp_path / "moved.keras", "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                config = json.loads(content, object_hook=lambda part: _moved(part, module))
                assert {"keras_mobilenets>RowsToMap", "keras_mobilenets>ChannelSlice"} <= _registered(config)
                content = json.dumps(config)
            new.writestr(name, content)
    images = np.random.default_rng(0).normal(size=(2, 5, 6, 8)).astype("float32")

    loaded = load_model(tmp_path / "moved.keras")

    np.testing.assert_array_equal(loaded(images), saved(images))


def _moved(part, module):
    return part | {"module": module} if str(part.get("registered_name")).startswith("keras_mobilenets>") else part


def _registered(config):
    if isinstance(config, dict):
        return {config.get("registered_name")}.union(*map(_registered, config.values()))
    return set().union(*map(_registered, config)) if isinstance(config, list) else set()
