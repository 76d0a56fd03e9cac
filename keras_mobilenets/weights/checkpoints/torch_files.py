"""Tensors of a PyTorch file (`.pth`, `.pt`, `.bin`, `.ckpt`), read without unpickling: nothing that it holds is run.

`torch.save` writes a pickle of the dictionary and, beside it, the storages (arrays of one type) that its tensors are
views of: as members of a zip archive, or, before PyTorch 1.6, one behind the other.
"""

import io
import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from keras_mobilenets.errors import UserError, first_line
from keras_mobilenets.weights.checkpoints.tensor_pickle import DamagedError, Pickle, Storage, Tensor, printable

SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".tar", ".pkl")

_MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of a file that is no archive
_MOST_TENSORS = 16  # times the size of the storages: tensors may share one


def read(path: Path) -> Any:
    """Reads what `torch.save` wrote: dictionaries, lists, numbers and texts, with arrays in the place of tensors.

    Args:
        path: The file.

    Returns:
        Its content; arrays are views of the storages, in their own dtype. Other data of a checkpoint, such as
        training arguments, becomes an opaque object.

    Raises:
        UserError: The file calls a function that describes no tensor (the message names it), or is damaged.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return _read_archive(path, archive)
        return _read_stream(path, path.read_bytes())
    except UserError:
        raise
    except Exception as error:  # damaged files fail in many ways
        raise UserError(f"{path} is not a whole PyTorch file: {printable(first_line(error))}") from error


def _read_archive(path: Path, archive: zipfile.ZipFile) -> Any:
    pickles = [name for name in archive.namelist() if name == "data.pkl" or name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise DamagedError("an archive without one data.pkl")
    folder = pickles[0].removesuffix("data.pkl")
    if f"{folder}constants.pkl" in archive.namelist():
        raise UserError(f"{path} is a TorchScript program: save model.state_dict() with torch.save instead")

    def member(name: str) -> bytes:
        if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
            raise DamagedError(f"{name} is compressed, which PyTorch never does")
        return archive.read(name)

    order = member(f"{folder}byteorder") if f"{folder}byteorder" in archive.namelist() else b"little"
    content = Pickle(path, io.BytesIO(member(pickles[0]))).run()
    return _arrays(content, lambda key: member(f"{folder}data/{key}"), ">" if order == b"big" else "<")


def _read_stream(path: Path, data: bytes) -> Any:
    """The format before PyTorch 1.6: magic number, version, machine, content, keys; then each storage's size and it."""
    stream = io.BytesIO(data)
    if Pickle(path, stream).run() != _MAGIC:
        raise DamagedError("it begins with another pickle than PyTorch's")
    _, machine, content, keys = (Pickle(path, stream).run() for _ in range(4))
    order = "<" if machine.get("little_endian", True) else ">"
    sizes = {storage.key: storage for storage in _storages(content)}
    members: dict[str, bytes] = {}
    for key in keys:
        count = int.from_bytes(stream.read(8), "little" if order == "<" else "big")
        if key not in sizes:
            raise DamagedError(f"storage {key} belongs to no tensor")
        members[key] = stream.read(count * np.dtype(sizes[key].dtype).itemsize)
    return _arrays(content, lambda key: members[key], order)


def _children(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else list(value) if isinstance(value, list | tuple) else []


def _storages(content: Any) -> list[Storage]:
    found, seen, todo = [], set(), [content]
    while todo:
        value = todo.pop()
        if isinstance(value, Tensor):
            found.append(value.storage)
        elif id(value) not in seen:
            seen.add(id(value))
            todo += _children(value)
    return found


def _arrays(content: Any, member: Callable[[str], bytes], order: str) -> Any:
    """The content with an array for each tensor; a storage is read once, when the first of its tensors asks."""
    stored: dict[tuple[str, Any], np.ndarray] = {}
    made: dict[int, Any] = {}
    elements = 0

    def storage(of: Storage) -> np.ndarray:
        dtype = np.dtype(of.dtype)
        if (of.key, dtype) not in stored:
            raw = member(of.key)
            if len(raw) < (of.start + of.size) * dtype.itemsize:
                raise DamagedError(f"storage {of.key} has {len(raw)} bytes, {of.size} values of {dtype} were announced")
            values = np.frombuffer(raw, dtype if order == "<" else dtype.newbyteorder(">"), len(raw) // dtype.itemsize)
            stored[of.key, dtype] = values.astype(dtype, copy=False)
        return stored[of.key, dtype][of.start : of.start + of.size]

    def array(tensor: Tensor) -> np.ndarray:
        nonlocal elements
        values = storage(tensor.storage)
        elements += math.prod(tensor.shape)
        last = tensor.offset + sum((size - 1) * step for size, step in zip(tensor.shape, tensor.strides, strict=True))
        if 0 in tensor.shape:
            return np.zeros(tensor.shape, values.dtype)
        if last >= len(values) or elements > _MOST_TENSORS * sum(map(len, stored.values())):
            raise DamagedError(f"a tensor of shape {tensor.shape} does not fit its storage of {len(values)} values")
        strides = [step * values.itemsize for step in tensor.strides]
        return np.lib.stride_tricks.as_strided(values[tensor.offset :], tensor.shape, strides, writeable=False)

    def visit(value: Any, depth: int = 0) -> Any:
        if isinstance(value, Tensor):
            return array(value)
        if depth > 20 or not isinstance(value, dict | list | tuple):
            return value
        if id(value) not in made:
            made[id(value)] = None  # of something that holds itself
            items = [visit(child, depth + 1) for child in _children(value)]
            made[id(value)] = dict(zip(value, items, strict=True)) if isinstance(value, dict) else items
        return made[id(value)]

    return visit(content)
