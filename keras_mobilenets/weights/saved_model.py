"""Whole models from files, in safe mode: a file cannot run code of its own."""

import json
import re
import zipfile
from pathlib import Path
from typing import Any

from keras_mobilenets.errors import UserError, first_line

FILES = "a .keras or .h5 file, or a SavedModel folder"
_MISSING = re.compile(
    r"(?:Could not (?:locate|find) (?:class|function|object)|Unknown (?:layer|object|\w+ function)|object of type):? "
    r"['\"`]?([\w.>]+)"
)


def load_model(path: str | Path) -> Any:
    """Loads a Keras 3 model from a `.keras` or `.h5` file.

    Raises:
        UserError: The file is missing, holds no Keras 3 model, is damaged, or asks to run code.
    """
    import keras

    from keras_mobilenets import blocks  # noqa: F401, the import registers custom layers

    kind = model_format(path)
    if kind != "keras":
        raise UserError(
            f"{path} is of Keras 2 or exported by TensorFlow: load it with keras_mobilenets.training.load_model"
        )
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # a damaged archive fails in many ways
        raise refusal(path, error) from error


def model_format(path: str | Path) -> str:
    """Whose model a file or folder holds, without loading it.

    Returns:
        "keras" (Keras 3), "tf_keras" (Keras 2: a `.keras`, `.h5` or SavedModel), or "export" (a SavedModel that holds
        computations alone: `model.export` of Keras 3, `tf.saved_model.save`).

    Raises:
        UserError: It holds no model; the message says what it holds.
    """
    path = Path(path)
    if path.is_dir():
        return _folder_format(path)
    if not path.is_file():
        raise UserError(f"{path} does not exist; give {FILES}")
    with path.open("rb") as file:
        start = file.read(8)
    if not start:
        raise UserError(f"{path} is empty; save the model again")
    if path.name == "saved_model.pb":
        raise UserError(f"{path} is part of a SavedModel; give its folder, {path.parent}")
    if start == b"\x89HDF\r\n\x1a\n":
        return _hdf5_format(path)
    if start[4:8] == b"TFL3":
        raise UserError(f"{path} is a .tflite, converted already; give the Keras model that it was made from")
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path} is not a .keras file, or was cut off; save the model again, or give {FILES}")
    try:
        with zipfile.ZipFile(path) as archive:
            version = json.loads(archive.read("metadata.json"))["keras_version"]
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} holds no Keras model; give {FILES}") from error
    return "tf_keras" if str(version).startswith("2.") else "keras"


def _folder_format(path: Path) -> str:
    if (path / "saved_model.pb").is_file():
        return "tf_keras" if (path / "keras_metadata.pb").is_file() else "export"
    if (path / "model.keras").is_file():
        raise UserError(f"{path} is a run folder; give its model, {path / 'model.keras'}")
    raise UserError(f"{path} is no SavedModel folder: it holds no saved_model.pb; give {FILES}")


def _hdf5_format(path: Path) -> str:
    import h5py

    try:
        with h5py.File(path) as file:
            holds_model, version = "model_config" in file.attrs, str(file.attrs.get("keras_version", "2"))
    except OSError as error:
        raise UserError(f"{path} is damaged or was cut off; save the model again") from error
    if not holds_model:
        raise UserError(
            f"{path} holds weights alone: build the model and use load_weights, or save the whole model as .keras"
        )
    return "keras" if version.startswith("3") else "tf_keras"


def refusal(path: str | Path, error: Exception) -> UserError:
    """The error for a model that its library does not load."""
    message = str(error)
    if "safe_mode" in message or "unsafe deserialization" in message:
        return UserError(
            f"{path} holds Python code (a Lambda layer), which is not run from a file; rebuild the model with plain "
            "layers, or load it yourself and pass the model"
        )
    if found := _MISSING.search(" ".join(message.split())):
        name = found[1].split(">")[-1]
        return UserError(
            f"{path} needs {name}, which is not known here: import the module that registers it "
            "(keras.saving.register_keras_serializable) and load it again, or pass the model in place of its file"
        )
    return UserError(f"{path} cannot be loaded: {first_line(error)}")
