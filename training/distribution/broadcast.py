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
    """What `make` gives in process 0, in all processes; each of them calls this, in the same order.

    Args:
        make: Gives what JSON knows, and NumPy arrays in its places.
    """
    if process_group.share()[1] == 1:
        return make()
    from jax.experimental.multihost_utils import broadcast_one_to_all

    content = _pack(make()) if process_group.is_first() else b""
    length = int(broadcast_one_to_all(np.int32(len(content))))
    buffer = np.frombuffer(content or bytes(length), np.uint8)
    return _unpack(np.asarray(broadcast_one_to_all(buffer)).tobytes())


def check_same(asked: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuses a process that was started for another training than process 0; its data may lie elsewhere.

    Args:
        asked: What is asked of the training, by parts, such as {"recipe": {"epochs": 3}}.

    Raises:
        UserError: It was; the message names the first difference.
    """
    if process_group.share()[1] == 1:
        return
    for part, values in from_first(lambda: asked).items():
        for key, value in values.items():
            own = asked.get(part, {}).get(key)
            if own != value and (part, key) != ("data", "name"):
                raise UserError(
                    f"process {process_group.share()[0]} has {part} {key} {own} where process 0 has {value}; "
                    "start all processes with the same arguments and the same data"
                )


def _pack(value: Any) -> bytes:
    """JSON and the arrays beside it, as .npz; no pickle, which runs what it reads."""
    arrays: list[np.ndarray] = []

    def taken_out(array: Any) -> dict[str, int]:
        if not isinstance(array, np.ndarray):
            raise TypeError(f"{type(array).__name__} cannot be sent")
        arrays.append(array)
        return {ARRAY: len(arrays) - 1}

    text, content = json.dumps(value, default=taken_out), io.BytesIO()
    np.savez(content, text, *arrays, allow_pickle=False)
    return content.getvalue()


def _unpack(content: bytes) -> Any:
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:

        def put_back(found: dict[str, Any]) -> Any:
            return archive[f"arr_{found[ARRAY] + 1}"] if ARRAY in found else found

        return json.loads(str(archive["arr_0"]), object_hook=put_back)
