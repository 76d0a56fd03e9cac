"""The blocks of MobileViT: Mehta & Rastegari 2021, arXiv:2110.02178, section 3.1."""

from typing import Any

from keras import layers

from keras_mobilenets.blocks.attention import multi_head_attention
from keras_mobilenets.blocks.convolution import activate, conv_bn
from keras_mobilenets.blocks.custom_layers import BilinearResizing
from keras_mobilenets.blocks.families.convnext import layer_norm
from keras_mobilenets.errors import UserError

NORM_EPSILON = 1e-5


def transformer(x: Any, heads: int, *, expansion: int = 2, activation: str = "silu", name: str) -> Any:
    """A transformer's layer on each row of a map: attention, then two 1×1 convolutions, each after a normalization.

    Args:
        x: Tensor (batch, rows, positions, channels): every position looks at all others of its row.
        heads: Heads of the attention, a divisor of the channels.
        expansion: Channels between the 1×1 convolutions, as a multiple of those of `x`.
        activation: Between them.
        name: Prefix of the layer names: `{name}_attention_norm`, `{name}_query` and what else `multi_head_attention`
            has, `{name}_attention_add`, `{name}_norm`, `{name}_expand`, `{name}_reduce`, `{name}_add`.

    Returns:
        Tensor of the shape of `x`.
    """
    channels = x.shape[-1]
    normal = layer_norm(x, epsilon=NORM_EPSILON, name=f"{name}_attention")
    attended = multi_head_attention(normal, heads, channels // heads, name=name)
    x = layers.Add(name=f"{name}_attention_add")([x, attended])
    normal = layer_norm(x, epsilon=NORM_EPSILON, name=name)
    wide = layers.Conv2D(expansion * channels, 1, name=f"{name}_expand")(normal)
    wide = activate(wide, activation, f"{name}_expand")
    return layers.Add(name=f"{name}_add")([x, layers.Conv2D(channels, 1, name=f"{name}_reduce")(wide)])


def mobilevit_block(
    x: Any, channels: int, depth: int, *, patch: int = 2, heads: int = 4, activation: str = "silu", name: str
) -> Any:
    """Transformers as a convolution with a global view: each pixel of a patch looks at its like in all patches.

    A map whose sides are no multiples of the patch is resized to the next ones and back, as in the reference
    implementation.

    Args:
        x: Tensor (batch, height, width, filters) of known height and width.
        channels: Of the transformers (the paper's d).
        depth: Number of transformers (L).
        patch: Side of a patch in pixels.
        heads: Heads of the attention.
        activation: Of the convolutions and inside the transformers.
        name: Prefix of the layer names: `{name}_local`, `{name}_embed`, `{name}_0_query` and what else `transformer`
            has, `{name}_norm`, `{name}_project`, `{name}_fuse`.

    Returns:
        Tensor of the shape of `x`.

    Raises:
        UserError: Height or width is open.
    """
    shortcut, (_, height, width, filters) = x, x.shape
    if None in (height, width):
        raise UserError(f"{name}: attention between patches needs a known image size; give input_shape")
    x = conv_bn(x, filters, activation=activation, name=f"{name}_local")
    x = layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_embed")(x)
    whole = (-(-height // patch) * patch, -(-width // patch) * patch)
    if whole != (height, width):
        x = BilinearResizing(*whole, name=f"{name}_resize")(x)
    x = _unfold(x, patch, name)
    for index in range(depth):
        x = transformer(x, heads, activation=activation, name=f"{name}_{index}")
    x = layer_norm(x, epsilon=NORM_EPSILON, name=name)
    x = _fold(x, patch, *whole, name)
    if whole != (height, width):
        x = BilinearResizing(height, width, name=f"{name}_resize_back")(x)
    x = conv_bn(x, filters, 1, activation=activation, name=f"{name}_project")
    x = layers.Concatenate(name=f"{name}_concat")([shortcut, x])
    return conv_bn(x, filters, activation=activation, name=f"{name}_fuse")


def _unfold(x: Any, patch: int, name: str) -> Any:
    """(batch, height, width, channels) to (batch, pixels of a patch, patches, channels), by tensors of rank 4."""
    _, height, width, channels = x.shape
    down, across = height // patch, width // patch
    x = layers.Reshape((down, patch, width * channels), name=f"{name}_unfold_rows")(x)
    x = layers.Permute((2, 1, 3), name=f"{name}_unfold_rows_transpose")(x)
    x = layers.Reshape((height * across, patch, channels), name=f"{name}_unfold_columns")(x)
    x = layers.Permute((2, 1, 3), name=f"{name}_unfold_columns_transpose")(x)
    return layers.Reshape((patch * patch, down * across, channels), name=f"{name}_unfold")(x)


def _fold(x: Any, patch: int, height: int, width: int, name: str) -> Any:
    """The inverse of `_unfold`."""
    channels, across = x.shape[-1], width // patch
    x = layers.Reshape((patch, height * across, channels), name=f"{name}_fold_columns")(x)
    x = layers.Permute((2, 1, 3), name=f"{name}_fold_columns_transpose")(x)
    x = layers.Reshape((patch, height // patch, width * channels), name=f"{name}_fold_rows")(x)
    x = layers.Permute((2, 1, 3), name=f"{name}_fold_rows_transpose")(x)
    return layers.Reshape((height, width, channels), name=f"{name}_fold")(x)
