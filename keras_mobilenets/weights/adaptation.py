"""The same network as its weights were trained: with other padding, epsilon or input scaling than the builders have.

PyTorch pads a strided convolution alike on both sides; "same" pads below and right only, when the size is even.
"""

from collections.abc import Callable, Collection
from typing import Any

import keras
from keras import layers

_POOLINGS = (layers.MaxPooling2D, layers.AveragePooling2D)
_STRIDED = (layers.Conv2D, layers.DepthwiseConv2D, *_POOLINGS)


def adapted(
    model: keras.Model,
    *,
    symmetric: bool = False,
    epsilon: float | None = None,
    scaling: tuple[list[float], list[float]] | None = None,
    changes: Callable[[Any], dict[str, Any]] = lambda layer: {},
    shared: Collection[Any] = (),
    input_name: str | None = None,
) -> keras.Model:
    """Rebuilds a functional model with new layers, freshly initialized.

    Args:
        model: What a builder returned.
        symmetric: Whether strided convolutions and poolings are padded alike on both sides, as in PyTorch. The padding
            is zeros, which PyTorch's averages count, and which is right for maxima of values that are not negative.
        epsilon: Of every batch normalization; None keeps it.
        scaling: Factors and offsets, one a channel, of a layer `scaling` in front of the network; None for no layer.
        changes: What to change in the configuration of a layer.
        shared: Layers in front of the network (those of `input_tensor`), which the result shares with the model.
        input_name: What the input is called, where it tells what its pixels mean; None for any name.

    Returns:
        The new model; it remembers the builder's `variant`.
    """
    kept = {id(layer) for layer in shared}
    first = next(layer for layer in model.layers if id(layer) not in kept and not isinstance(layer, layers.InputLayer))

    def clone(layer: Any) -> Any:
        if id(layer) in kept:
            return layer
        config = layer.get_config() | changes(layer)
        if epsilon is not None and isinstance(layer, layers.BatchNormalization):
            config["epsilon"] = epsilon
        if symmetric and _is_strided(config, layer):
            config["padding"] = "valid"
        return type(layer).from_config(config)

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        (x, *rest) = args
        if scaling and layer.name == first.name:
            x = layers.Rescaling(*scaling, name="scaling")(x)
        if symmetric and id(layer) not in kept:
            if isinstance(layer, layers.ZeroPadding2D):  # the builder's own for "same"
                return x
            pad = (_side(layer) - 1) // 2 if _is_strided(layer.get_config(), layer) else 0
            if pad:
                x = layers.ZeroPadding2D(pad, name=f"{layer.name}_pad")(x)
        return layer(x, *rest, **kwargs)

    inputs = model.input if kept else keras.Input(model.input_shape[1:], name=input_name) if input_name else None
    result = keras.models.clone_model(model, input_tensors=inputs, clone_function=clone, call_function=call)
    result.variant = model.variant
    return result


def _is_strided(config: dict[str, Any], layer: Any) -> bool:
    return isinstance(layer, _STRIDED) and max(config["strides"]) > 1


def _side(layer: Any) -> int:
    return (layer.pool_size if isinstance(layer, _POOLINGS) else layer.kernel_size)[0]
