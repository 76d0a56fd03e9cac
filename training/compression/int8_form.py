"""A float network in the form that int8 computes it in: scales of channels and normalizations in the weights around.

What `convert` does to a float .tflite (`conversion/forms`) is done here to the Keras graph in front of
quantization-aware training, so that training rounds the weights, and the numbers between the layers, that the file will
have. A scale of channels (a depthwise 1×1 convolution) goes into the convolution or the batch normalization before it.
A normalization becomes x · 1/√variance; its factor and offset go into the weights that read it, and so does its mean,
since their sums over channels are made zero. A batch normalization that follows no convolution goes there as well.
"""

import functools
from collections import Counter
from collections.abc import Collection
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_mobilenets import blocks
from keras_mobilenets.graphs.flat_model import Call, calls, run
from keras_mobilenets.graphs.linear_layers import normalization

_WEIGHTED = (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense)
_UNCHANGED = (layers.Dropout, layers.SpatialDropout2D, layers.Identity)


def int8_form(model: keras.Model, kept: Collection[str] = ()) -> keras.Model:
    """Writes scales of channels and normalizations in the form of int8.

    Args:
        model: Functional Keras 3 model of layers alone, each used once (`plain_model`).
        kept: Names of layers that stay as they are.

    Returns:
        A model with the same outputs but for rounding; its unchanged layers are those of the model. A normalization's
        result is called as the normalization was. Where there is nothing to write, the model itself. A normalization
        that anything else reads than convolutions without padding and dense layers stays.
    """
    form = _Form(model, kept)
    if not form.is_changed:
        return model
    inputs = [keras.Input(batch_shape=x.shape, dtype=x.dtype, name=x.name) for x in model.inputs]
    outputs = run(model, inputs, form.call)
    return keras.Model(keras.tree.pack_sequence_as(model._inputs_struct, inputs), outputs, name=model.name)


class _Form:
    """What stands for the layers of a model.

    Attributes:
        weights: New ones by the id of a layer: kernel and bias, or factor and offset of a batch normalization.
        gone: Layers whose input stands for their output, by their id.
        normal: What calculates a normalization of its input, by the id of its layer.
    """

    def __init__(self, model: keras.Model, kept: Collection[str]):
        found = calls(model)
        self.weights: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self.gone: set[int] = set()
        self.normal: dict[int, Any] = {}
        self._makers = {id(x): call for call in found for x in call.outputs}
        self._readers: dict[int, list[Call]] = {}
        for call in found:
            for x in call.inputs:
                self._readers.setdefault(id(x), []).append(call)
        self._outputs = Counter(id(x) for x in model.outputs)
        for call in found:
            kind = type(call.layer)
            if call.layer.name in kept:
                continue
            if kind is layers.DepthwiseConv2D:
                self._take_scale(call)
            elif kind is layers.BatchNormalization:
                self._take_batch_normalization(call)
            elif kind is layers.LayerNormalization:
                self._take_layer_normalization(call)
            elif kind is layers.GroupNormalization:
                self._take_group_normalization(call)

    @property
    def is_changed(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.gone or self.normal)

    def call(self, layer: Any, *args: Any, **kwargs: Any) -> Any:
        """Calls what stands for a layer."""
        if id(layer) in self.gone:
            return args[0]
        if id(layer) in self.normal:
            return self.normal[id(layer)](args[0])
        if id(layer) not in self.weights:
            return layer(*args, **kwargs)
        is_norm = type(layer) is layers.BatchNormalization
        copy = type(layer).from_config(layer.get_config() | ({} if is_norm else {"use_bias": True}))
        y = copy(*args, **kwargs)
        copy.set_weights([*self.weights[id(layer)], *(layer.get_weights()[2:] if is_norm else ())])
        copy.trainable = layer.trainable
        return y

    def _take_scale(self, call: Call) -> None:
        """Lets a scale of channels go into what gives them."""
        layer, before = call.layer, call.inputs[0]
        maker = self._makers.get(id(before))
        if maker is None or not _is_scale(layer) or len(self._readers[id(before)]) > 1 or id(before) in self._outputs:
            return
        factor, offset = (values.reshape(-1) for values in self._weights(layer))
        if type(maker.layer) is layers.BatchNormalization:
            if not self._follows_weights(maker) or not (maker.layer.scale and maker.layer.center):
                return
        elif type(maker.layer) not in _WEIGHTED or maker.layer.activation is not keras.activations.linear:
            return
        kernel, bias = self._weights(maker.layer)
        shape = kernel.shape[2:] if type(maker.layer) is layers.DepthwiseConv2D else (-1,)
        self.weights[id(maker.layer)] = kernel * factor.reshape(shape), bias * factor + offset
        self.gone.add(id(layer))

    def _take_batch_normalization(self, call: Call) -> None:
        """Lets a batch normalization that follows no convolution go into the weights behind it."""
        affine = normalization(call.layer)
        if affine is None or self._follows_weights(call) or call.layer.axis not in (-1, len(call.inputs[0].shape) - 1):
            return
        readers = self._folding(call.outputs[0], call.outputs[0].shape[-1], through_mean=True)
        if readers:
            factor, offset = affine
            for reader in readers:
                self._fold(reader.layer, factor, np.broadcast_to(offset, factor.shape))
            self.gone.add(id(call.layer))

    def _take_layer_normalization(self, call: Call) -> None:
        layer, x = call.layer, call.inputs[0]
        axis = [layer.axis] if isinstance(layer.axis, int) else list(layer.axis)
        channels = x.shape[-1]
        readers = self._folding(call.outputs[0], channels)
        if axis[0] % len(x.shape) != len(x.shape) - 1 or len(axis) > 1 or getattr(layer, "rms_scaling", False):
            return
        if readers:
            for reader in readers:
                self._fold(reader.layer, *_affine(layer, channels), centers=True)
            self.normal[id(layer)] = functools.partial(_product, layer=layer, name=layer.name)
        elif readers := self._folding(call.outputs[0], channels, through_mean=True):
            for reader in readers:  # at the end of a network, where the finest result costs nothing
                self._fold(reader.layer, *_affine(layer, channels))
            plain = {"epsilon": layer.epsilon, "center": False, "scale": False}
            self.normal[id(layer)] = layers.LayerNormalization(**plain, name=layer.name)

    def _take_group_normalization(self, call: Call) -> None:
        """Lets the factor of a map's normalization go: of an average less the map itself, mean and offset cancel."""
        layer, x = call.layer, call.inputs[0]
        if layer.groups != 1 or layer.axis not in (-1, len(x.shape) - 1):
            return
        factor, offset = _affine(layer, x.shape[-1])
        scale = self._scale_of_difference(call.outputs[0])
        if scale is not None:
            kernel, bias = self._weights(scale)
            self.weights[id(scale)] = kernel * factor[:, None], bias
            self.normal[id(layer)] = functools.partial(_product, layer=layer, name=layer.name)
        elif readers := self._folding(call.outputs[0], x.shape[-1]):
            for reader in readers:
                self._fold(reader.layer, factor, offset)
            self.normal[id(layer)] = functools.partial(_difference, layer=layer)

    def _fold(self, layer: Any, factor: np.ndarray, offset: np.ndarray, centers: bool = False) -> None:
        """Gives a layer the weights W(γn + β) = (Wγ)n + Wβ, and with zero sums over its input channels if `centers`."""
        kernel, bias = self._weights(layer)
        scaled = kernel * factor[:, None]
        if centers:
            scaled -= scaled.mean(axis=-2, keepdims=True)
        moved = (kernel * offset[:, None]).sum(axis=tuple(range(kernel.ndim - 1)))
        self.weights[id(layer)] = scaled, bias + moved

    def _weights(self, layer: Any) -> tuple[np.ndarray, np.ndarray]:
        """Kernel and bias, float64, as they have become."""
        if id(layer) in self.weights:
            return self.weights[id(layer)]
        kernel, *more = (np.asarray(values, np.float64) for values in layer.get_weights())
        filters = kernel[0, 0].size if type(layer) is layers.DepthwiseConv2D else kernel.shape[-1]
        return kernel, more[0] if more else np.zeros(filters)

    def _follows_weights(self, call: Call) -> bool:
        """Whether a batch normalization follows a layer with a kernel, as one operator with it."""
        maker = self._makers.get(id(call.inputs[0]))
        return (
            maker is not None
            and type(maker.layer) in _WEIGHTED
            and maker.layer.activation is keras.activations.linear
            and len(self._readers[id(call.inputs[0])]) == 1
        )

    def _folding(self, tensor: Any, channels: int, *, through_mean: bool = False) -> list[Call] | None:
        """The layers with a kernel that read a tensor, where it and its copies have no other reader; else None."""
        readers = self._readers.get(id(tensor), [])
        if id(tensor) in self._outputs or not readers:
            return None
        found: list[Call] = []
        for reader in readers:
            if _passes(reader, channels, through_mean):
                behind = self._folding(reader.outputs[0], channels, through_mean=through_mean)
                if behind is None:
                    return None
                found += behind
            elif _folds(reader, channels):
                found.append(reader)
            else:
                return None
        return found

    def _scale_of_difference(self, tensor: Any) -> Any:
        """The scale of channels of an average of a map less the map, where all else reads neither."""
        readers = {type(reader.layer): reader for reader in self._readers.get(id(tensor), [])}
        pool, difference = readers.get(layers.AveragePooling2D), readers.get(layers.Subtract)
        if pool is None or difference is None or len(self._readers[id(tensor)]) != 2:
            return None
        average, result = pool.outputs[0], difference.outputs[0]
        if {id(x) for x in difference.inputs} != {id(tensor), id(average)} or average.shape != tensor.shape:
            return None
        behind = self._readers.get(id(result), [])
        if len(self._readers[id(average)]) != 1 or len(behind) != 1:
            return None
        if any(id(x) in self._outputs for x in (tensor, average, result)):
            return None
        return behind[0].layer if _is_scale(behind[0].layer) else None


def _is_scale(layer: Any) -> bool:
    """Whether a layer multiplies every channel by a number of its own, and does no more."""
    return (
        type(layer) is layers.DepthwiseConv2D
        and tuple(layer.kernel_size) == tuple(layer.strides) == (1, 1)
        and layer.depth_multiplier == 1
        and layer.activation is keras.activations.linear
        and layer.data_format == "channels_last"
    )


def _passes(call: Call, channels: int, through_mean: bool) -> bool:
    """Whether a layer keeps every channel for itself, in the last axis or as the innermost part of it."""
    layer = call.layer
    if isinstance(layer, layers.Reshape):
        return int(call.outputs[0].shape[-1]) % channels == 0
    if isinstance(layer, layers.Permute):
        return int(layer.dims[-1]) == len(layer.dims)
    return isinstance(layer, _UNCHANGED) or (through_mean and isinstance(layer, layers.GlobalAveragePooling2D))


def _folds(call: Call, channels: int) -> bool:
    """Whether a layer has a kernel and reads each channel by itself, and no zeros around the map."""
    layer = call.layer
    if call.inputs[0].shape[-1] != channels:
        return False
    if type(layer) is layers.Dense:
        return True
    if type(layer) is not layers.Conv2D or layer.groups != 1 or layer.data_format != "channels_last":
        return False
    return layer.padding == "valid" or tuple(layer.kernel_size) == (1, 1)


def _affine(layer: Any, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Factor and offset of a normalization."""
    return (
        np.asarray(layer.gamma, np.float64) if layer.scale else np.ones(channels),
        np.asarray(layer.beta, np.float64) if layer.center else np.zeros(channels),
    )


def _product(x: Any, *, layer: Any, name: str) -> Any:
    """A normalization without its mean, factor and offset."""
    of_map = isinstance(layer, layers.GroupNormalization)
    root = blocks.InverseDeviation(layer.epsilon, of_map, name=f"{layer.name}_root")(x)
    return layers.Multiply(name=name)([x, root])


def _difference(x: Any, *, layer: Any) -> Any:
    """The normalization of a map without its factor and offset, its mean in steps of the result."""
    product = _product(x, layer=layer, name=f"{layer.name}_product")
    mean = blocks.MeanOverDeviation(layer.epsilon, True, name=f"{layer.name}_mean")(x)
    return layers.Subtract(name=layer.name)([product, mean])
