"""Loading of `.keras` files of Keras 3 and of tf_keras (quantization-aware, pruned)."""

import json
import zipfile
from pathlib import Path
from typing import Any

from keras_mobilenets.errors import UserError, first_line
from keras_mobilenets.weights import saved_model


def load_model(path: str | Path) -> Any:
    """Loads a model from a `.keras` file, in safe mode: the file cannot run code.

    Args:
        path: The file.

    Returns:
        A Keras 3 model, or a tf_keras model where that is what was saved.

    Raises:
        UserError: The file is missing, is no `.keras` file, is damaged, or asks to run code.
    """
    if not _is_of_tf_keras(path):
        model = saved_model.load_model(path)
        for layer in model._flatten_layers():  # also those that were frozen when it was saved, as in fine-tuning
            layer.trainable = True
        return model
    import tensorflow_model_optimization as tfmot
    import tf_keras

    from keras_mobilenets.training.compression import qat_scheme, tf_keras_layers  # noqa: F401  (they register what files may hold)

    try:
        with tfmot.quantization.keras.quantize_scope(), tfmot.sparsity.keras.prune_scope():
            return tf_keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # a damaged archive fails in many ways
        raise UserError(f"{path} cannot be loaded as a tf_keras model: {first_line(error)}") from error


def _is_of_tf_keras(path: str | Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read("metadata.json"))["keras_version"].startswith("2.")
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return False  # the loader of Keras 3 has the message
