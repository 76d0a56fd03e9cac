"""The ConvNeXts of keras.applications, whose files have their layers in another order and shape than the builders'.

A stem and a downsampling is a Sequential of two layers there, a 1×1 convolution a dense layer. Files in the older
format list the layers in the order of the network; `.weights.h5` lists them class by class, a Sequential's apart.
"""

import numpy as np

from keras_mobilenets.weights.hdf5 import Stored, kind_of


def in_network_order(stored: Stored) -> Stored:
    """The layers with weights in the order of a builder of models/convnext.py.

    Args:
        stored: As `hdf5.read` gives it.

    Raises:
        ValueError: They are not those of a ConvNeXt.
    """
    weighted = [(name, arrays) for name, arrays in stored if kind_of(arrays) not in ("none", "normalization")]
    if any("/" in name for name, _ in weighted):
        weighted = _by_stages(weighted)
    layers: Stored = []
    for name, arrays in weighted:
        halves = [arrays[:2], arrays[2:]] if [a.ndim for a in arrays] in ([4, 1, 1, 1], [1, 1, 4, 1]) else [arrays]
        layers += [(name, half) for half in halves]
    return layers


def _by_stages(stored: Stored) -> Stored:
    """Puts the layers that are sorted by class in the order of the network."""
    patches: dict[str, Stored] = {}
    rest: dict[str, Stored] = {}
    for name, arrays in stored:
        outer, _, inner = name.rpartition("/")
        (patches.setdefault(outer, []) if inner != name else rest.setdefault(kind_of(arrays), [])).append(
            (name, arrays)
        )
    depthwise, norms, scales, dense = (rest.get(kind, []) for kind in ("depthwise", "layer norm", "scale", "kernel"))
    count = len(depthwise)
    if len(patches) != 4 or not count == len(scales) == len(norms) - 1 or len(dense) - 2 * count not in (0, 1):
        raise ValueError("its layers are not those of a ConvNeXt of keras.applications")
    cuts = [sorted(pair, key=lambda item: item[1][0].ndim) for pair in patches.values()]  # a norm, then a convolution
    order = cuts.pop(0)[::-1]  # but for the stem
    channels = depthwise[0][1][0].size // np.prod(depthwise[0][1][0].shape[:2])
    for index in range(count):
        here = depthwise[index][1][0].size // np.prod(depthwise[index][1][0].shape[:2])
        if here != channels:
            order += cuts.pop(0)
            channels = here
        order += [depthwise[index], norms[index], *dense[2 * index : 2 * index + 2], scales[index]]
    return [*order, norms[-1], *dense[2 * count :]]
