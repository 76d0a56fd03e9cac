"""Whole models from `.keras` files, in safe mode: a file cannot run code of its own."""

import zipfile
from pathlib import Path
from typing import Any

from keras_mobilenets.errors import UserError, first_line


def load_model(path: str | Path) -> Any:
    """Loads a model from a `.keras` file.

    Raises:
        UserError: The file is missing, is no `.keras` file, is damaged, or asks to run code.
    """
    import keras

    from keras_mobilenets.blocks import custom_layers  # noqa: F401, the import registers them

    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} does not exist; give a .keras file")
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path} is not a .keras file, or was cut off; save the model again")
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # a damaged archive fails in many ways
        raise UserError(f"{path} cannot be loaded as a Keras 3 model: {first_line(error)}") from error
