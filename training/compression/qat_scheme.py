"""The quantize scheme for mobile models: which tensors are fake-quantized, through tfmot's extension points.

Every tensor that TensorFlow Lite stores as int8 is quantized, and no other: the output of a convolution with the
BatchNorm and ReLU that the converter fuses into it, not the tensors between them (Jacob et al. 2018,
arXiv:1712.05877, section 3).
"""

import functools
from collections.abc import Callable
from typing import Any

import keras
import tensorflow_model_optimization as tfmot
import tf_keras

from keras_mobilenets.models.detection.ssdlite import OUTPUT
from keras_mobilenets.training.compression import tf_keras_layers
from keras_mobilenets.training.compression.quantizers import (
    ActivationQuantizer,
    FixedQuantizer,
    PixelQuantizer,
    WeightQuantizer,
)

qat: Any = tfmot.quantization.keras

# The kernel of each layer that has one, and the number of its last axes that are output channels.
KERNELS = {"Conv2D": ("kernel", 1), "DepthwiseConv2D": ("depthwise_kernel", 2), "Dense": ("kernel", 0)}
# In TensorFlow Lite, input and output of these have the same scale: only their input is quantized.
_SAME_SCALE = {
    "AveragePooling2D", "ChannelSlice", "Cropping2D", "Dropout", "Flatten", "GlobalMaxPooling2D", "Identity",
    "MaxPooling2D", "NearestResizing", "Permute", "PhasesToMap", "Reshape", "RowsToMap", "SpatialDropout2D",
    "UpSampling2D", "ZeroPadding2D",
}  # fmt: skip
# The outputs of these have their own range. (That of an embedding is the scale that its table is stored in.)
_OWN_SCALE = {
    "Activation", "Add", "AttentionBias", "Average", "Concatenate", "Dot", "Embedding", "GlobalAveragePooling2D",
    "HardSigmoid", "MatrixProduct", "Maximum", "Minimum", "Multiply", "ReLU", "Rescaling", "Softmax", "Subtract",
}  # fmt: skip
# These compute in float, whatever surrounds them: what they give is rounded to int8.
_STATISTICS = {"GroupNormalization", "InverseDeviation", "LayerNormalization", "MeanOverDeviation"}
_PRODUCTS = {"Dot", "MatrixProduct"}
_FUSES_RELU = {"Add", "BatchNormalization", "Conv2D", "Dense", "DepthwiseConv2D", "Multiply", "Subtract"}
# Activations that int8 has, with the range of the output where the specification fixes it.
_ACTIVATIONS: dict[str, tuple[float, float] | None] = {
    "gelu": None,
    "hard_silu": None,
    "linear": None,
    "relu": None,
    "relu6": None,
    "sigmoid": (0.0, 255 / 256),
    "silu": None,
    "softmax": (0.0, 255 / 256),
    "tanh": (-1.0, 127 / 128),
}
_FUSED_ACTIVATIONS = ("linear", "relu", "relu6")


@tf_keras.saving.register_keras_serializable("keras_mobilenets")
class LayerQuantization(qat.QuantizeConfig):
    """How one layer is quantized.

    Attributes:
        kernel: Attribute of its kernel; None when it has none, or when it stays in float.
        channel_axes: As in `WeightQuantizer`.
        preserve: As in `WeightQuantizer`.
        inner: Attribute whose result is an activation inside the layer that is quantized; None for none.
        inner_range: The range of that activation where it is fixed.
        output: Whether the output is quantized here.
        pixels: Whether the output is the image.
        output_range: The output's range where it is fixed.
        decay: As in `ActivationQuantizer`.
        is_centered: As in `ActivationQuantizer`, of the output.
        rounded_with: The fused layer after which this one's output is quantized; empty when it has none.
        in_float: Why it is left in float; empty when it is quantized.
    """

    def __init__(
        self,
        kernel: str | None = None,
        channel_axes: int = 1,
        preserve: str | None = None,
        inner: str | None = None,
        inner_range: tuple[float, float] | None = None,
        output: bool = False,
        pixels: bool = False,
        output_range: tuple[float, float] | None = None,
        decay: float = 0.99,
        rounded_with: str = "",
        in_float: str = "",
        is_centered: bool = False,
    ):
        self.kernel, self.channel_axes, self.preserve = kernel, channel_axes, preserve
        self.inner, self.inner_range = inner, inner_range
        self.output, self.pixels, self.output_range, self.decay = output, pixels, output_range, decay
        self.rounded_with, self.in_float, self.is_centered = rounded_with, in_float, is_centered

    def get_weights_and_quantizers(self, layer: Any) -> list[tuple[Any, Any]]:
        """The kernel; biases are int32, whose error is negligible."""
        return [(getattr(layer, self.kernel), WeightQuantizer(self.channel_axes, self.preserve))] if self.kernel else []

    def set_quantize_weights(self, layer: Any, quantize_weights: list[Any]) -> None:
        """Replaces the kernel by the quantized one."""
        for weights in quantize_weights:
            setattr(layer, str(self.kernel), weights)

    def get_activations_and_quantizers(self, layer: Any) -> list[tuple[Any, Any]]:
        """The activation inside the layer."""
        return [(getattr(layer, self.inner), self._quantizer(self.inner_range))] if self.inner else []

    def set_quantize_activations(self, layer: Any, quantize_activations: list[Any]) -> None:
        """Replaces the activation inside the layer by the quantized one."""
        for activation in quantize_activations:
            setattr(layer, str(self.inner), activation)

    def get_output_quantizers(self, layer: Any) -> list[Any]:
        """The output."""
        if self.pixels:
            return [PixelQuantizer()]
        return [self._quantizer(self.output_range, self.is_centered)] if self.output else []

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return dict(vars(self))

    def _quantizer(self, fixed: tuple[float, float] | None, is_centered: bool = False) -> Any:
        is_float = bool(self.in_float)
        return FixedQuantizer(*fixed, is_float) if fixed else ActivationQuantizer(self.decay, is_float, is_centered)


class MobileScheme(qat.QuantizeScheme):
    """tfmot's quantize scheme; the layout transformer decides on every layer, since it has the whole graph.

    Args:
        left_in_float: Names of layers, with the reason.
        settings: Arguments of every `LayerQuantization`.
        dense_axes: `channel_axes` of dense layers.
    """

    def __init__(self, left_in_float: dict[str, str], settings: dict[str, Any], dense_axes: int = 0):
        self._decide = functools.partial(plan, left_in_float=left_in_float, settings=settings, dense_axes=dense_axes)

    def get_layout_transformer(self) -> Any:
        """The transformer that assigns each layer its quantization."""
        return _Layout(self._decide)

    def get_quantize_registry(self) -> Any:
        """An empty registry: the layout transformer has decided on every layer."""
        return _Registry()


class _Layout(qat.QuantizeLayoutTransform):
    def __init__(self, decide: Callable[[Any], dict[str, LayerQuantization]]):
        self._decide = decide

    def apply(self, model: Any, layer_quantize_map: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        decided = self._decide(model)
        own = {name: given["quantize_config"] for name, given in layer_quantize_map.items() if given}
        return model, {name: {"quantize_config": own.get(name) or config} for name, config in decided.items()}


class _Registry(qat.QuantizeRegistry):
    def supports(self, layer: Any) -> bool:
        return False

    def get_quantize_config(self, layer: Any) -> None:
        return None


def plan(
    model: tf_keras.Model, left_in_float: dict[str, str], settings: dict[str, Any], dense_axes: int
) -> dict[str, LayerQuantization]:
    """Decides for every layer of a tf_keras graph how it is quantized, or why it is not."""
    graph = _Graph(model)
    decided: dict[str, LayerQuantization] = {}
    for layer in model.layers:
        if isinstance(layer, tf_keras.layers.InputLayer):
            continue
        before = graph.fused_before(layer)
        in_float = left_in_float.get(layer.name) or _no_int8(layer, before)
        if before is not None and decided[before.name].in_float:
            in_float = f"fused with {before.name}"
        decided[layer.name] = _decide(layer, graph, in_float, settings, dense_axes)
    for layer in model.layers:
        factor = graph.second_factor(layer)
        if factor is not None and factor.name in decided:
            decided[factor.name].is_centered = True
    return decided


def _decide(layer: Any, graph: "_Graph", in_float: str, settings: dict[str, Any], dense_axes: int) -> LayerQuantization:
    kind, activation = _kind(layer), activation_name(layer)
    config = LayerQuantization(**settings, in_float=in_float)
    if kind in KERNELS and not in_float:
        config.kernel, config.channel_axes = KERNELS[kind]
        if kind == "Dense":
            config.channel_axes = dense_axes
    if hasattr(layer, "inner"):
        config.inner, config.inner_range = "inner", (0.0, 6.0) if kind == "HardSigmoid" else None
    elif kind in KERNELS and activation not in _FUSED_ACTIVATIONS and not in_float:
        config.inner = "activation"  # its input is quantized
    after = graph.fused_after(layer)
    if after is not None:
        config.rounded_with = after.name
    elif (
        kind not in _SAME_SCALE
        and not (activation == "softmax" or (activation == "sigmoid" and graph.is_output(layer)))
        and not (kind == "Activation" and activation == "linear")
        and layer.name != OUTPUT
    ):
        # (Quantizing probabilities would cut the gradient of the smallest ones. A detector's offsets and logits, side
        # by side in its output, are read by a float tail, each with a scale of their own.)
        config.output = True
        config.output_range = (0.0, 1.0) if kind == "HardSigmoid" else _ACTIVATIONS.get(activation)
    return config


def _no_int8(layer: Any, before: Any) -> str:
    """Why TensorFlow Lite or this scheme does not support a layer in int8; empty when it is supported."""
    kind, activation = _kind(layer), activation_name(layer)
    if kind == "BatchNormalization":
        return "" if before is not None else "it follows no convolution or dense layer to fold it into"
    if kind in _STATISTICS:
        return "squares and roots of a normalization need more than eight bits"
    if kind not in {*KERNELS, *_SAME_SCALE, *_OWN_SCALE}:
        return f"this scheme has no rule for {kind}"
    if activation not in _ACTIVATIONS:
        return f"TensorFlow Lite has no int8 {activation}"
    if kind in KERNELS and activation not in (*_FUSED_ACTIVATIONS, "sigmoid", "softmax", "tanh"):
        return f"{activation} is fused into the layer; make it a separate layer"
    return ""


def _kind(layer: Any) -> str:
    """The class of a layer; that of tf_keras where the class is a variant of it."""
    is_norm = isinstance(layer, tf_keras.layers.BatchNormalization)
    return "BatchNormalization" if is_norm else type(layer).__name__


def activation_name(layer: Any) -> str:
    """The name of a layer's activation: "linear" when it has none."""
    if isinstance(layer, tf_keras.layers.Softmax):
        return "softmax"
    return getattr(getattr(layer, "activation", None), "__name__", "linear")


class _Graph:
    """Which layers of a model the converter fuses into one operator."""

    def __init__(self, model: tf_keras.Model):
        self._makers: dict[int, Any] = {}
        self._readers: dict[int, list[Any]] = {}
        for layer in model.layers:
            self._makers |= {id(tensor): layer for tensor in keras.tree.flatten(layer.output)}
            if not isinstance(layer, tf_keras.layers.InputLayer):
                for tensor in keras.tree.flatten(layer.input):
                    self._readers.setdefault(id(tensor), []).append(layer)
        self._outputs = {id(tensor) for tensor in model.outputs}

    def is_output(self, layer: Any) -> bool:
        """Whether a layer gives what the model gives."""
        return id(layer.output) in self._outputs

    def fused_after(self, layer: Any) -> Any:
        """The layer after this one that is fused with it; None when there is none."""
        kind, tensor = _kind(layer), id(layer.output)
        readers = self._readers.get(tensor, [])
        if len(readers) != 1 or tensor in self._outputs or activation_name(layer) != "linear":
            return None
        (reader,) = readers
        if isinstance(reader, tf_keras.layers.BatchNormalization):
            return reader if kind in KERNELS else None
        if kind == "BatchNormalization" and self.fused_before(layer) is None:
            return None
        if isinstance(reader, tf_keras_layers.HardSigmoid):  # its + 3 is folded into the bias, its ReLU6 is fused
            return reader if kind in (*KERNELS, "BatchNormalization") else None
        return reader if kind in _FUSES_RELU and _is_fusable_relu(reader) else None

    def fused_before(self, layer: Any) -> Any:
        """The layer before this one that is fused with it; None when there is none."""
        if isinstance(layer.input, list):
            return None
        maker = self._makers[id(layer.input)]
        return maker if self.fused_after(maker) is layer else None

    def second_factor(self, layer: Any) -> Any:
        """The layer whose output, moved or not, is the second factor of a matrix product; None of another layer."""
        if _kind(layer) not in _PRODUCTS:
            return None
        maker = self._makers[id(layer.input[1])]
        while _kind(maker) in _SAME_SCALE:
            maker = self._makers[id(maker.input)]
        return maker


def _is_fusable_relu(layer: Any) -> bool:
    if isinstance(layer, tf_keras.layers.ReLU):
        config = layer.get_config()
        return config["max_value"] in (None, 6.0) and not config["negative_slope"] and not config["threshold"]
    return isinstance(layer, tf_keras.layers.Activation) and activation_name(layer) in ("relu", "relu6")
