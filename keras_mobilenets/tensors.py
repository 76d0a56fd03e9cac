"""Arrays of tensors of PyTorch, without importing it."""

from typing import Any

import numpy as np


def detached(value: Any) -> Any:
    """A tensor of PyTorch as an array, without its gradient and on the CPU; anything else as it is.

    DLPack carries it, since a PyTorch built for another NumPy has no arrays; what NumPy lacks, as bfloat16, is float32.
    """
    if not hasattr(value, "detach"):
        return value
    value = value.detach().cpu()
    return np.from_dlpack(value.float() if value.is_floating_point() else value)
