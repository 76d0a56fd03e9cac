"""Nearest-neighbour enlargement of a map to the height and width of another."""

from typing import Any

from keras import layers

from keras_mobilenets.blocks.custom_layers import NearestResizing


def upsample_like(x: Any, like: Any, *, name: str) -> Any:
    """Enlarges a map to the height and width of another: row i of H comes from row ⌊i · h / H⌋, and so do columns.

    It is made of plain layers where every side is a multiple of the smaller one, or one more than a multiple, as a side
    halved by pooling is: then the first row or column stands once more in front. Other ratios and open sizes need a
    layer of the package's own.

    Args:
        x: Tensor (batch, height, width, channels).
        like: Tensor (batch, height, width, any channels), no smaller.
        name: Name of the enlarging layer; at odd sizes prefix of `{name}_first_row`, `{name}_rows`,
            `{name}_first_column`, `{name}_columns`.

    Returns:
        Tensor of the height and width of `like`, with the channels of `x`.
    """
    small, large = x.shape[1:3], like.shape[1:3]
    if None in (*small, *large) or any(target % size > 1 for size, target in zip(small, large, strict=True)):
        return NearestResizing(name=name)(x, like)
    factors = tuple(target // size for size, target in zip(small, large, strict=True))
    if factors != (1, 1):
        x = layers.UpSampling2D(factors, name=name)(x)
    for axis, kind in ((1, "row"), (2, "column")):
        if x.shape[axis] < like.shape[axis]:
            others = [(0, 0), (0, 0)]
            others[axis - 1] = (0, x.shape[axis] - 1)
            first = layers.Cropping2D(tuple(others), name=f"{name}_first_{kind}")(x)
            x = layers.Concatenate(axis=axis, name=f"{name}_{kind}s")([first, x])
    return x
