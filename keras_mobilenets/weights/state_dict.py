"""The state dictionary of a PyTorch model as arrays: from memory, a `.safetensors` file or the Hugging Face hub.

Tensors are never unpickled.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_mobilenets.errors import UserError, first_line


def read(state: Any) -> dict[str, np.ndarray]:
    """Reads a state dictionary.

    Args:
        state: {name of the tensor: array or PyTorch tensor}, the path of a `.safetensors` file, or the id of a
            repository on the hub.

    Returns:
        {name of the tensor: float32 array}, without the counters of batches.

    Raises:
        UserError: It cannot be read, or may be pickled.
    """
    if isinstance(state, Mapping):
        return {name: _array(name, value) for name, value in state.items() if not name.endswith("num_batches_tracked")}
    if not isinstance(state, str | Path):
        raise UserError(f"weights of type {type(state).__name__}: give a .safetensors file, a dictionary, or a hub id")
    path = Path(state)
    if path.suffix in (".pt", ".pth", ".bin", ".tar", ".pkl"):
        raise UserError(
            f"{path} may be pickled and run code when read: convert it in a Python with PyTorch, by "
            'safetensors.torch.save_file(torch.load(path, weights_only=True), "model.safetensors")'
        )
    if path.suffix != ".safetensors" and not path.exists() and re.fullmatch(r"[\w.-]+/[\w.-]+", str(state)):
        path = _download(str(state))
    if not path.is_file():
        raise UserError(f"no file {path}: give the path of a .safetensors file, a dictionary, or a hub id")
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return read(load_file(path))
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise UserError(f"{path} is not a whole .safetensors file: {error}") from error


def _download(repository: str) -> Path:
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise UserError(f"to fetch {repository} from the hub: pip install huggingface_hub") from error
    try:
        return Path(hf_hub_download(repository, "model.safetensors"))
    except Exception as error:  # offline, unknown, without access: each has its kind
        raise UserError(f"cannot fetch model.safetensors of {repository}: {first_line(error)}") from error


def _array(name: str, value: Any) -> np.ndarray:
    """An array of what may be a PyTorch tensor with a gradient, on any device."""
    try:
        return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value, np.float32)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{name} is no array of numbers, but {type(value).__name__}: give model.state_dict()"
        ) from error
