"""The state dictionary of a PyTorch model as arrays: from memory, a file or the Hugging Face hub.

Nothing is ever unpickled.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_mobilenets.errors import UserError, first_line
from keras_mobilenets.tensors import detached
from keras_mobilenets.weights.checkpoints import checkpoint, hub, torch_files


def read(state: Any) -> dict[str, np.ndarray]:
    """Reads a state dictionary.

    Args:
        state: {name of the tensor: array or PyTorch tensor}, a checkpoint's dictionary with such a one in it, a PyTorch
            module, the path of a `.safetensors` file or of one that `torch.save` wrote (`torch_files`), or the id of a
            repository on the hub.

    Returns:
        {name of the tensor: float32 array}, without counters of batches and without prefixes of wrappers.

    Raises:
        UserError: It cannot be read, or holds no tensors.
    """
    if hasattr(state, "state_dict"):
        state = state.state_dict()
    if isinstance(state, Mapping):
        return {name: _array(name, value) for name, value in checkpoint.tensors(state).items()}
    if not isinstance(state, str | Path):
        kinds = "a .safetensors or .pth file, a dictionary, or a hub id"
        raise UserError(f"weights of type {type(state).__name__}: give {kinds}")
    path = Path(state)
    is_foreign = path.suffix in torch_files.SUFFIXES
    if path.suffix != ".safetensors" and not is_foreign and not path.exists():
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", str(state)):
            raise UserError(f"no file {path}: give the path of a .safetensors or .pth file, a dictionary, or a hub id")
        is_open_clip = str(state).lower().endswith("-openclip")
        path = hub.download(str(state), "open_clip_model.safetensors" if is_open_clip else "model.safetensors")
    if not path.is_file():
        raise UserError(f"no file {path}: give the path of a .safetensors or .pth file, a dictionary, or a hub id")
    if is_foreign:
        content = torch_files.read(path)
        if not isinstance(content, Mapping):
            raise UserError(f"{path} holds no dictionary of tensors: save model.state_dict() with torch.save")
        return read(content)
    import ml_dtypes  # noqa: F401, so that NumPy knows bfloat16
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return read(load_file(path))
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise UserError(f"{path} is not a whole .safetensors file: {first_line(error)}") from error


def _array(name: str, value: Any) -> np.ndarray:
    """An array of what may be a PyTorch tensor with a gradient, on any device, of a type that NumPy lacks."""
    try:
        return np.asarray(detached(value), np.float32)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{name} is no array of numbers, but {type(value).__name__}: give model.state_dict()"
        ) from error
