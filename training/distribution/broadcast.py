"""Values of process 0 sent to all processes: JSON and NumPy arrays, over JAX's collective operations."""

import io
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.training.distribution import process_group

T = TypeVar("T")
ARRAY = "array of this number"  # the key that stands for an array in JSON


def from_first(make: Callable[[], T]) -> T:
    """Returns the result of `make` in process 0 to all processes, each of which calls this in the same order.

    Args:
        make: Returns JSON values that may contain NumPy arrays.
    """
    if process_group.shard()[1] == 1:
        return make()
    from jax.experimental.multihost_utils import broadcast_one_to_all

    content = _pack(make()) if process_group.is_first() else b""
    length = int(broadcast_one_to_all(np.int32(len(content))))
    buffer = np.frombuffer(content or bytes(length), np.uint8)
    return _unpack(np.asarray(broadcast_one_to_all(buffer)).tobytes())


def check_same(settings: Mapping[str, Mapping[str, Any]]) -> None:
    """Checks that this process has the settings of process 0; only the path of the data may differ.

    Args:
        settings: The settings of the training, by part, such as {"recipe": {"epochs": 3}}.

    Raises:
        UserError: They differ; the message names the first difference.
    """
    if process_group.shard()[1] == 1:
        return
    for part, values in from_first(lambda: settings).items():
        for key, value in values.items():
            own = settings.get(part, {}).get(key)
            if own != value and (part, key) != ("data", "name"):
                raise UserError(
                    f"process {process_group.shard()[0]} has {part} {key} {own} where process 0 has {value}; "
                    "start all processes with the same arguments and the same data"
                )


def _pack(value: Any) -> bytes:
    """JSON and its arrays as .npz; no pickle, which could run code."""
    arrays: list[np.ndarray] = []

    def extract(array: Any) -> dict[str, int]:
        if not isinstance(array, np.ndarray):
            raise TypeError(f"{type(array).__name__} cannot be sent")
        arrays.append(array)
        return {ARRAY: len(arrays) - 1}

    text, content = json.dumps(value, default=extract), io.BytesIO()
    np.savez(content, text, *arrays, allow_pickle=False)
    return content.getvalue()


def _unpack(content: bytes) -> Any:
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:

        def insert(found: dict[str, Any]) -> Any:
            return archive[f"arr_{found[ARRAY] + 1}"] if ARRAY in found else found

        return json.loads(str(archive["arr_0"]), object_hook=insert)
