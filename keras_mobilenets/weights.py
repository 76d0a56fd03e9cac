"""Weights from files: Keras's own formats, loaded in safe mode."""

from pathlib import Path
from typing import Any

from keras_mobilenets.errors import UserError


def load_weights(model: Any, source: Any) -> Any:
    """Loads weights into a model.

    Args:
        model: A Keras model.
        source: Path of a `.keras` or `.weights.h5` file of the same architecture.

    Returns:
        The model.

    Raises:
        UserError: The file is missing, of another kind, damaged, or of another architecture.
    """
    path = Path(source)
    if not path.is_file():
        raise UserError(f"no weights file {path}: give the path of a .keras or .weights.h5 file")
    if not path.name.endswith((".keras", ".weights.h5")):
        raise UserError(f"{path}: weights are read from .keras and .weights.h5 files")
    try:
        model.load_weights(path)
    except (ValueError, OSError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{path} does not fit {model.name}: {reason}") from error
    return model
