"""Attention.

Multi-query: Qin et al. 2024, arXiv:2404.10518 (MobileNetV4), section 4.
Multi-head: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.2.
"""

from typing import Any

from keras import layers

from keras_mobilenets.blocks.convolution import batch_norm, channel_scale, depthwise_bn
from keras_mobilenets.blocks.custom_layers import AttentionBias, MatrixProduct, RowsToMap


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


def multi_head_attention(
    x: Any,
    heads: int,
    key_dim: int,
    *,
    value_dim: int | None = None,
    position_bias: bool = False,
    whole_map: bool = False,
    use_bias: bool = True,
    name: str,
) -> Any:
    """Multi-head attention within each row of a map, made of 1×1 convolutions and of tensors of rank 4 or less.

    Args:
        x: Tensor (batch, rows, positions, channels): every position looks at all others of its row.
        heads: Number of heads.
        key_dim: Channels of a head's query and key.
        value_dim: Channels of a head's value; `key_dim` when not given.
        position_bias: Whether a learned number for each head and distance of two positions is added to the scores; for
            the whole map.
        whole_map: Whether every position looks at all others of the map, `x` being (batch, height, width, channels) of
            a known size.
        use_bias: Whether query, key and value have biases.
        name: Prefix of the layer names: `{name}_query`, `{name}_key`, `{name}_value`, `{name}_scores`,
            `{name}_position_bias`, `{name}_softmax`, `{name}_attended`, `{name}_project`.

    Returns:
        Tensor of the shape of `x`.
    """
    _, rows, positions, channels = shape = x.shape
    value_dim = value_dim or key_dim
    if position_bias or whole_map:
        rows, positions = 1, rows * positions

    def split(role: str, dim: int) -> Any:
        y = layers.Conv2D(heads * dim, 1, use_bias=use_bias, name=f"{name}_{role}")(x)
        return _heads(y, heads, rows, positions, f"{name}_{role}")

    query, key, value = (split(*role) for role in (("query", key_dim), ("key", key_dim), ("value", value_dim)))
    query = layers.Rescaling(key_dim**-0.5, name=f"{name}_query_rescale")(query)
    weights = MatrixProduct(transposed=True, name=f"{name}_scores")(query, key)
    if position_bias:
        weights = AttentionBias(*shape[1:3], name=f"{name}_position_bias")(weights)
    weights = layers.Softmax(name=f"{name}_softmax")(weights)
    x = MatrixProduct(name=f"{name}_attended")(weights, value)
    x = layers.Reshape((heads, rows * positions, value_dim), name=f"{name}_attended_heads")(x)
    x = layers.Permute((2, 1, 3), name=f"{name}_attended_transpose")(x)
    x = layers.Reshape((*shape[1:3], heads * value_dim), name=f"{name}_attended_map")(x)
    return layers.Conv2D(channels, 1, name=f"{name}_project")(x)


def _heads(x: Any, heads: int, rows: int, positions: int, name: str) -> Any:
    """(batch, rows, positions, heads · dim) to (batch, heads · rows, positions, dim)."""
    dim = x.shape[-1] // heads
    x = layers.Reshape((rows * positions, heads, dim), name=f"{name}_heads")(x)
    x = layers.Permute((2, 1, 3), name=f"{name}_transpose")(x)
    return layers.Reshape((heads * rows, positions, dim), name=f"{name}_rows")(x)
