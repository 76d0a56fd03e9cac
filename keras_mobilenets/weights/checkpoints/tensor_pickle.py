"""A pickle of tensors, followed without running what it says.

A pickle is a program for a small stack machine. Those of its instructions are followed that make plain data; of the
functions that it may call, the few that describe a tensor are known by name and done here, and any other ends the
reading.
"""

import io
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from keras_mobilenets.errors import UserError

_DTYPES: dict[str, Any] = {
    "FloatStorage": np.float32,
    "DoubleStorage": np.float64,
    "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}
# Data beside the tensors of a training's checkpoint: read past, never made.
_INERT = {
    "argparse Namespace",
    "numpy dtype",
    "numpy.core.multiarray scalar",
    "numpy._core.multiarray scalar",
    "pathlib PosixPath",
    "pathlib.PosixPath",
    "torch device",
    "torch Size",
    "_codecs encode",
}


class DamagedError(Exception):
    """The file is no whole PyTorch file."""


@dataclass(frozen=True)
class _Name:
    """What a pickle would import: known by its name, never imported."""

    name: str


@dataclass
class Storage:
    """An array of one type that tensors are views of: its key in the file, and the part of it that is meant."""

    key: str
    dtype: Any
    size: int
    start: int = 0


@dataclass
class Tensor:
    """A view of a storage; offset and strides count values."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Inert:
    """An object that is not made; what the pickle does to it has no effect."""


class Pickle:
    """The stack machine of a pickle, without what runs code."""

    def __init__(self, path: Path, stream: io.BytesIO) -> None:
        """Reads from the stream's position; the path is for messages."""
        self._path, self._stream = path, stream
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        """What the pickle makes; the stream stands behind it then."""
        for opcode, argument, _ in pickletools.genops(self._stream):
            self._do(opcode.name, argument)
        (result,) = self._stack
        return result

    def _do(self, name: str, argument: Any) -> None:
        stack = self._stack
        if name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _ARGUMENTS:
            stack.append(argument)
        elif name in _CONTAINERS:
            stack.append(_CONTAINERS[name]())
        elif name == "MARK":
            self._marks.append(len(stack))
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self._memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(self._memo[argument])
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(name[-1])
            stack[-count:] = [tuple(stack[-count:])]
        elif name in ("TUPLE", "LIST", "DICT", "FROZENSET"):
            items = self._marked()
            stack.append(_pairs(items) if name == "DICT" else items if name == "LIST" else tuple(items))
        elif name in ("APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS"):
            counts = {"APPEND": 1, "SETITEM": 2}
            items = self._popped(counts[name]) if name in counts else self._marked()
            _extend(stack[-1], items, "SET" in name)
        elif name == "GLOBAL":
            stack.append(self._global(argument))
        elif name == "STACK_GLOBAL":
            stack.append(self._global(" ".join(self._popped(2))))
        elif name in ("REDUCE", "NEWOBJ"):
            function, arguments = self._popped(2)
            stack.append(_called(function, arguments))
        elif name == "BUILD":
            self._popped(1)  # attributes of an object: those of a dictionary are versions of its modules
        elif name == "BINPERSID":
            stack.append(_storage(*self._popped(1)))
        elif name not in ("PROTO", "FRAME", "STOP"):
            raise DamagedError(f"the instruction {name} is none of PyTorch's")

    def _global(self, name: str) -> _Name:
        """A name that a pickle may use; its words are separated by a space."""
        module, _, word = name.partition(" ")
        is_storage = module in ("torch", "torch.cuda") and word in _DTYPES
        if is_storage or name in _CALLS or name in _INERT:
            return _Name(word if is_storage else name)
        raise UserError(
            f"{self._path} calls {printable(f'{module}.{word}')}, which describes no tensor: only files of tensors "
            "are read; in a Python with PyTorch, save model.state_dict() with torch.save"
        )

    def _popped(self, count: int) -> list[Any]:
        if len(self._stack) - (self._marks[-1] if self._marks else 0) < count:
            raise DamagedError("its pickle takes what it has not made")
        items = self._stack[-count:]
        del self._stack[-count:]
        return items

    def _marked(self) -> list[Any]:
        mark = self._marks.pop()
        items = self._stack[mark:]
        del self._stack[mark:]
        return items


_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_CONTAINERS: dict[str, Any] = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_SET": list}
_ARGUMENTS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
}


def _pairs(items: list[Any]) -> dict[Any, Any]:
    return dict(zip(items[::2], items[1::2], strict=True))


def _extend(target: Any, items: list[Any], pairs: bool) -> None:
    if isinstance(target, dict) and pairs:
        target.update(_pairs(items))
    elif isinstance(target, list) and not pairs:
        target.extend(items)
    elif not isinstance(target, _Inert):
        raise DamagedError(f"its pickle adds to a {type(target).__name__}")


def _called(function: Any, arguments: Any) -> Any:
    if not isinstance(function, _Name) or not isinstance(arguments, tuple):
        raise DamagedError("its pickle calls what is no function")
    if function.name in _INERT:
        return _Inert()
    if function.name not in _CALLS:
        raise DamagedError(f"its pickle calls {function.name}")
    return _CALLS[function.name](*arguments)


def _storage(reference: Any) -> Storage:
    """A storage by what stands for it in the pickle: a key, its type, its place and its size; a part of it at last."""
    kind, dtype, key, _, size, *part = reference
    if kind != "storage" or not isinstance(dtype, _Name) or not isinstance(key, str):
        raise DamagedError("a tensor without a storage")
    start = 0
    if part and part[0] is not None:
        key, start, size = part[0][0], part[0][1], part[0][2]
    _check_whole(size, start)
    return Storage(key, _DTYPES[dtype.name], size, start)


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *others: Any) -> Tensor:
    if not isinstance(storage, Storage) or not isinstance(shape, tuple) or not isinstance(strides, tuple):
        raise DamagedError("a tensor without a storage")
    _check_whole(offset, *shape, *strides)
    if len(shape) != len(strides) or len(shape) > 32:
        raise DamagedError(f"a tensor of {len(shape)} sides and {len(strides)} strides")
    return Tensor(storage, offset, shape, strides)


def _parameter(tensor: Any, *others: Any) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise DamagedError("a parameter that is no tensor")
    return tensor


def _dictionary(*arguments: Any) -> dict[Any, Any]:
    return dict(*(_pairs_of(pairs) for pairs in arguments))


def _pairs_of(pairs: Any) -> list[Any]:
    if not isinstance(pairs, list):
        raise DamagedError("a dictionary of no pairs")
    return pairs


def printable(text: str) -> str:
    """A text of a file for a message: short, in one line, without control characters."""
    return "".join(character if character.isprintable() else "?" for character in text)[:120]


def _check_whole(*numbers: Any) -> None:
    if not all(type(number) is int and 0 <= number < 1 << 48 for number in numbers):
        raise DamagedError("a tensor of impossible size")


_CALLS: dict[str, Callable[..., Any]] = {
    "torch._utils _rebuild_tensor": _tensor,
    "torch._utils _rebuild_tensor_v2": _tensor,
    "torch._utils _rebuild_parameter": _parameter,
    "torch._utils _rebuild_parameter_with_state": _parameter,
    "collections OrderedDict": _dictionary,
}
