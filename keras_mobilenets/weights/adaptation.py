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
            is zeros, which PyTorch's averages count.
        epsilon: Of every batch normalization; None keeps it.
        scaling: Factors and offsets, one a channel, of a layer `scaling` in front of the network; None for no layer.
        changes: What to change in the configuration of a layer.
        shared: Layers in front of the network (those of `input_tensor`), which the result shares with the model.
        input_name: What the input is called, where it tells what its pixels mean; None for any name.

    Returns:
        The new model; it remembers the builder's `variant`.
    """
    kept, originals = {id(layer) for layer in shared}, {layer.name: layer for layer in model.layers}
    scaled: list[Any] = []  # the images, and what the network reads in their place

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
        if scaling and not scaled and id(layer) not in kept:
            scaled[:] = x, layers.Rescaling(*scaling, name="scaling")(x)
        if scaled and x is scaled[0]:  # every branch of a first block reads it
            x = scaled[1]
        if symmetric and id(layer) not in kept:
            if isinstance(layer, layers.ZeroPadding2D):  # the builder's own for "same"
                return x
            strided = _is_strided(layer.get_config(), layer) and _is_padded(originals[layer.name])
            pad = _padding(layer) if strided else 0
            if pad and isinstance(layer, layers.MaxPooling2D) and not _is_relu(x._keras_history.operation):
                return _pooled_alike(x, layer)
            if pad:
                x = layers.ZeroPadding2D(pad, name=f"{layer.name}_pad")(x)
        return layer(x, *rest, **kwargs)

    inputs = model.input if kept else keras.Input(model.input_shape[1:], name=input_name) if input_name else None
    result = keras.models.clone_model(model, input_tensors=inputs, clone_function=clone, call_function=call)
    result.variant = model.variant
    return result


def _is_strided(config: dict[str, Any], layer: Any) -> bool:
    """Whether a layer with strides reads neighbours; patches side by side (ConvNeXt, Haar) nobody pads."""
    return isinstance(layer, _STRIDED) and max(config["strides"]) > 1 and _side(layer) > max(config["strides"])


def _padding(layer: Any) -> int:
    """On each side, such that ⌈size / stride⌉ windows fit."""
    return max(0, (_side(layer) - max(layer.strides) + 1) // 2)


def _side(layer: Any) -> int:
    return (layer.pool_size if isinstance(layer, _POOLINGS) else layer.kernel_size)[0]


def _is_padded(layer: Any) -> bool:
    """Whether the builder pads the image of a strided layer, by "same" or by a layer of its own."""
    return layer.padding == "same" or isinstance(layer.input._keras_history.operation, layers.ZeroPadding2D)


def _is_relu(layer: Any) -> bool:
    """Whether no output of a layer is negative, so that a max-pooling may be padded with zeros."""
    is_relu = isinstance(layer, layers.Activation) and layer.activation.__name__ in ("relu", "relu6")
    return is_relu or isinstance(layer, layers.ReLU)


def _pooled_alike(x: Any, layer: Any) -> Any:
    """A max-pooling of side 3 and strides 2 of any numbers, as if −∞ stood on both sides.

    "same" does that where the size is odd. So an even size becomes odd by a row that no window reads but the last,
    which is dropped. Where the size is open, every second of the windows at strides 1 is taken.
    """
    side, strides = _side(layer), max(layer.strides)
    if (side, strides) != (3, 2) or None in x.shape[1:3]:
        x = layers.MaxPooling2D(side, strides=1, padding="same", name=f"{layer.name}_all")(x)
        return layers.MaxPooling2D(1, strides=strides, name=layer.name)(x)
    extra = [(0, 1 - length % 2) for length in x.shape[1:3]]
    if any(map(sum, extra)):
        x = layers.ZeroPadding2D(extra, name=f"{layer.name}_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, padding="same", name=layer.name)(x)
    return layers.Cropping2D(extra, name=f"{layer.name}_crop")(x) if any(map(sum, extra)) else x
