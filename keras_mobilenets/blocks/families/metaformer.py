"""Pooling as the mixer of positions: Yu et al. 2021, arXiv:2111.11418 (PoolFormer), section 3.

With batch normalization inside the 1×1 convolutions: Li et al. 2022, arXiv:2206.01191 (EfficientFormer), section 3.2.
"""

from typing import Any

from keras import layers

from keras_mobilenets.blocks.attention import multi_head_attention
from keras_mobilenets.blocks.convolution import activate, batch_norm, channel_scale
from keras_mobilenets.blocks.families.convnext import layer_norm

NORM_EPSILON = 1e-5
EXPANSION = 4


def group_norm(x: Any, *, name: str) -> Any:
    """Normalization of all channels and positions of an image together, called `{name}_norm` (section 3.3)."""
    return layers.GroupNormalization(groups=1, epsilon=NORM_EPSILON, name=f"{name}_norm")(x)


def poolformer_block(x: Any, *, layer_scale: float = 1e-5, name: str) -> Any:
    """PoolFormer's block: pooling minus the input, then two 1×1 convolutions with GELU, each after a normalization.

    Args:
        x: Tensor (batch, height, width, channels).
        layer_scale: First value of the learned scales of both outputs' channels.
        name: Prefix of the layer names: `{name}_pool_norm`, `{name}_pool`, `{name}_pool_subtract`, `{name}_pool_scale`,
            `{name}_pool_add`, `{name}_norm`, `{name}_expand`, `{name}_project`, `{name}_scale`, `{name}_add`.

    Returns:
        Tensor of the shape of `x`.
    """
    x = _mixed(x, _pooled(group_norm(x, name=f"{name}_pool"), f"{name}_pool"), layer_scale, f"{name}_pool")
    normal = group_norm(x, name=name)
    return _mixed(x, _feed_forward(normal, False, name), layer_scale, name)


def pooling_block(x: Any, *, layer_scale: float = 1e-5, name: str) -> Any:
    """EfficientFormer's block of four dimensions: PoolFormer's, with batch normalization behind the convolutions only.

    Args:
        x: Tensor (batch, height, width, channels).
        layer_scale: First value of the learned scales of both outputs' channels.
        name: Prefix of the layer names, as in `poolformer_block`, `{name}_expand_bn` and `{name}_project_bn` instead of
            the other normalizations.

    Returns:
        Tensor of the shape of `x`.
    """
    x = _mixed(x, _pooled(x, f"{name}_pool"), layer_scale, f"{name}_pool")
    return _mixed(x, _feed_forward(x, True, name), layer_scale, name)


def attention_block(x: Any, heads: int, key_dim: int, value_dim: int, *, layer_scale: float = 1e-5, name: str) -> Any:
    """EfficientFormer's block of three dimensions: attention with position biases, then two 1×1 convolutions with GELU.

    Args:
        x: Tensor (batch, height, width, channels) of known height and width.
        heads: Of the attention.
        key_dim: Channels of a head's query and key.
        value_dim: Channels of a head's value.
        layer_scale: First value of the learned scales of both outputs' channels.
        name: Prefix of the layer names: `{name}_attention_norm`, `{name}_query` and what else `multi_head_attention`
            has, `{name}_attention_scale`, `{name}_attention_add`, `{name}_norm`, `{name}_expand`, `{name}_reduce`,
            `{name}_scale`, `{name}_add`.

    Returns:
        Tensor of the shape of `x`.
    """
    normal = layer_norm(x, epsilon=NORM_EPSILON, name=f"{name}_attention")
    attended = multi_head_attention(normal, heads, key_dim, value_dim=value_dim, position_bias=True, name=name)
    x = _mixed(x, attended, layer_scale, f"{name}_attention")
    normal = layer_norm(x, epsilon=NORM_EPSILON, name=name)
    return _mixed(x, _feed_forward(normal, False, name, "reduce"), layer_scale, name)


def _pooled(x: Any, name: str) -> Any:
    pooled = layers.AveragePooling2D(3, strides=1, padding="same", name=name)(x)
    return layers.Subtract(name=f"{name}_subtract")([pooled, x])


def _feed_forward(x: Any, normalized: bool, name: str, last: str = "project") -> Any:
    channels = x.shape[-1]
    x = layers.Conv2D(EXPANSION * channels, 1, name=f"{name}_expand")(x)
    x = batch_norm(x, f"{name}_expand") if normalized else x
    x = activate(x, "gelu", f"{name}_expand")
    x = layers.Conv2D(channels, 1, name=f"{name}_{last}")(x)
    return batch_norm(x, f"{name}_{last}") if normalized else x


def _mixed(shortcut: Any, x: Any, layer_scale: float, name: str) -> Any:
    return layers.Add(name=f"{name}_add")([shortcut, channel_scale(x, layer_scale, name=f"{name}_scale")])
