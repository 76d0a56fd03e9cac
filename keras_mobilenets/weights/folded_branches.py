"""Checkpoints whose parallel branches were made one convolution before they were saved, as `reparam_conv` of timm and
Apple: MobileOne and FastViT.

A network of the training's form computes the same with that convolution in the place of one branch and zeros in the
others; `reparameterized` leaves the convolution alone again.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from keras import layers

_FOLDED = ".reparam_conv.weight"
_RESIDUAL = ("token_mixer", "pos_emb")  # modules whose convolution has taken in a shortcut around the branches


def are_folded(arrays: Mapping[str, Any]) -> bool:
    """Whether these tensors are of a network without branches."""
    return any(name.endswith(_FOLDED) for name in arrays)


def unfolded(
    arrays: Mapping[str, np.ndarray], targets: Mapping[str, tuple[Any, Any]], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, np.ndarray]:
    """The tensors of the branches.

    Args:
        arrays: The tensors of a checkpoint.
        targets: By the name of each tensor that the network has, its layer and its weight.
        shapes: Of those tensors, as PyTorch has them.

    Returns:
        The tensors, those of each `reparam_conv` as those of the branches that it stands for.
    """
    result = dict(arrays)
    for name in arrays:
        module = name.removesuffix(_FOLDED)
        if module == name:
            continue
        inside = [target for target in targets if target.startswith(f"{module}.") and target not in arrays]
        kernel, bias = result[name], result.get(f"{module}.reparam_conv.bias")
        main = next((target for target in inside if shapes[target] == kernel.shape), None)
        if main is None or bias is None:
            continue  # then `fill` says what is missing
        del result[name], result[f"{module}.reparam_conv.bias"]
        if module.endswith(_RESIDUAL):
            kernel = kernel - _identity(kernel.shape)
        for target in inside:
            layer, _ = targets[target]
            of_main = layer.name.removesuffix("_bn") == targets[main][0].name
            leaf = target.rpartition(".")[2]
            if target == main:
                result[target] = kernel
            elif of_main and leaf == "bias":
                result[target] = bias
            else:
                result[target] = np.full(shapes[target], _neutral(layer, leaf, of_main), np.float32)
    return result


def _identity(shape: tuple[int, ...]) -> np.ndarray:
    """The depthwise kernel that leaves an image as it is."""
    kernel = np.zeros(shape, np.float32)
    kernel[:, :, shape[2] // 2, shape[3] // 2] = 1
    return kernel


def _neutral(layer: Any, leaf: str, of_main: bool) -> float:
    """What every number of a tensor is, so that the layer leaves its input as it is, or a branch gives zeros."""
    if leaf in ("running_var", "gamma"):
        return 1.0
    if isinstance(layer, layers.BatchNormalization) and leaf == "weight" and of_main:
        return float(np.sqrt(1 + layer.epsilon))
    return 0.0
