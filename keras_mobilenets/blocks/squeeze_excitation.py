"""Squeeze-and-excite: Hu et al. 2018, arXiv:1709.01507, section 3."""

from typing import Any

from keras import layers

from keras_mobilenets.blocks.convolution import activation as activate


def squeeze_excite(x: Any, reduced: int, *, activation: str = "relu", gate: str = "hard_sigmoid", name: str) -> Any:
    """Squeeze-and-excite: weighs every channel by what the whole image says of it.

    Args:
        x: Tensor (batch, height, width, channels).
        reduced: Channels between the two 1×1 convolutions, which have biases.
        activation: Between them.
        gate: Makes the weights: "hard_sigmoid" is ReLU6(x + 3) / 6 (MobileNetV3, section 5.2), or "sigmoid".
        name: Prefix of the layer names: `{name}_se_pool`, `{name}_se_reduce`, `{name}_se_expand`, `{name}_se_scale`.

    Returns:
        Tensor of the shape of `x`.
    """
    weights = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_se_pool")(x)
    weights = layers.Conv2D(reduced, 1, name=f"{name}_se_reduce")(weights)
    weights = activate(weights, activation, f"{name}_se_reduce")
    weights = layers.Conv2D(x.shape[-1], 1, name=f"{name}_se_expand")(weights)
    weights = activate(weights, gate, f"{name}_se_expand")
    return layers.Multiply(name=f"{name}_se_scale")([x, weights])
