"""Multi-query attention: Qin et al. 2024, arXiv:2404.10518 (MobileNetV4), section 4."""

from typing import Any

from keras import layers

from keras_mobilenets.blocks.convolution import batch_norm, channel_scale, depthwise_bn
from keras_mobilenets.blocks.custom_layers import RowsToMap


def multi_query_attention(
    x: Any, heads: int, key_dim: int, *, kv_strides: int = 1, layer_scale: float = 1e-5, name: str
) -> Any:
    """Mobile multi-query attention: every position looks at all others, the heads share one key and one value.

    It is made of plain layers, which every exporter knows; only an open input size needs a layer of the package's own.

    Args:
        x: Tensor (batch, height, width, channels).
        heads: Number of heads.
        key_dim: Channels of a head's query, of the key and of the value.
        kv_strides: 2 halves height and width of key and value by a depthwise 3×3 convolution.
        layer_scale: First value of the learned scale of the output's channels.
        name: Prefix of the layer names: `{name}_input_bn`, `{name}_query`, `{name}_key_depthwise`, `{name}_key`,
            `{name}_value_depthwise`, `{name}_value`, `{name}_scores`, `{name}_attended`, `{name}_project`,
            `{name}_scale`, `{name}_add`.

    Returns:
        Tensor of the shape of `x`.
    """
    _, height, width, channels = x.shape
    normal = batch_norm(x, f"{name}_input")
    query = layers.Conv2D(heads * key_dim, 1, use_bias=False, name=f"{name}_query")(normal)
    query_map = layers.Rescaling(key_dim**-0.5, name=f"{name}_query_rescale")(query)
    query = layers.Reshape((-1, key_dim), name=f"{name}_query_rows")(query_map)
    key, value = (_shared_head(normal, key_dim, kv_strides, f"{name}_{role}") for role in ("key", "value"))
    weights = layers.Dot(axes=2, name=f"{name}_scores")([query, key])
    weights = layers.Softmax(name=f"{name}_softmax")(weights)
    attended = layers.Dot(axes=(2, 1), name=f"{name}_attended")([weights, value])
    if None in (height, width):
        attended = RowsToMap(name=f"{name}_attended_map")(attended, query_map)
    else:
        attended = layers.Reshape((height, width, heads * key_dim), name=f"{name}_attended_map")(attended)
    attended = layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_project")(attended)
    return layers.Add(name=f"{name}_add")([x, channel_scale(attended, layer_scale, name=f"{name}_scale")])


def _shared_head(x: Any, key_dim: int, strides: int, name: str) -> Any:
    """The key or the value: (batch, positions, key_dim)."""
    if strides > 1:
        x = depthwise_bn(x, strides=strides, activation=None, name=f"{name}_depthwise")
    x = layers.Conv2D(key_dim, 1, use_bias=False, name=name)(x)
    return layers.Reshape((-1, key_dim), name=f"{name}_rows")(x)
