"""Quantization-aware training of mobile models by tfmot: build, calibration of the ranges, list of quantized layers.

Jacob et al. 2018, arXiv:1712.05877, section 3; Krishnamoorthi 2018, arXiv:1806.08342, section 3.2.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tf_keras

from keras_mobilenets.errors import UserError, unknown
from keras_mobilenets.graphs.flat_model import calls
from keras_mobilenets.graphs.input_names import HISTORY, input_name
from keras_mobilenets.graphs.plain_layers import plain_model
from keras_mobilenets.graphs.reparameterization import reparameterized
from keras_mobilenets.pixels.batches import first_labelled, to_input
from keras_mobilenets.pixels.image_source import BATCH
from keras_mobilenets.pixels.preprocessing_layers import scaling_of
from keras_mobilenets.progress import track
from keras_mobilenets.training.compression import keras_bridge, tf_keras_layers
from keras_mobilenets.training.compression.int8_form import int8_form
from keras_mobilenets.training.compression.qat_scheme import KERNELS, LayerQuantization, MobileScheme, qat
from keras_mobilenets.training.compression.quantizers import PRESERVED, Point, unquantized
from keras_mobilenets.waveforms.features import INPUTS


def quantize_aware(
    model: Any,
    calibration: Any = None,
    *,
    calibration_images: int = 256,
    left_in_float: Collection[str] = (),
    freeze_batch_norm_after: int | None = None,
    preserve: str | None = None,
    per_channel_dense: bool = False,
    range_decay: float = 0.99,
    pixels: Any = None,
) -> tf_keras.Model:
    """Rebuilds a trained model with fake quantization to int8, for quantization-aware training with `fit`.

    Args:
        model: Keras 3 model (or tf_keras model of the same layers) from an image to classes; models inside it are taken
            apart, parallel branches folded (`reparameterized`), and normalizations and scales of channels folded into
            the weights beside them (`int8_form`; not with `preserve`). Each of its layers with weights is used once.
        calibration: Representative images, as `tflite.convert` takes them: uint8 N×H×W×C (scaled as the model wants
            them) or floats already scaled; an array, or a tf.data pipeline. They set the initial ranges of the
            activations, so that the model starts as accurate as post-training quantization. None: the first training
            batch sets the ranges.
        calibration_images: Maximum number of images for calibration; the first ones are used.
        left_in_float: Names of layers that are not quantized; "first" and "last" stand for the first and the last
            layer with a kernel. Layers that the converter fuses with them stay in float, too.
        freeze_batch_norm_after: Training steps after which batch normalization uses its moving statistics and no longer
            updates them (Krishnamoorthi 2018, section 3.2.2); None for never.
        preserve: "sparsity" preserves a pruned model's zeros (PQAT), "clusters" a clustered model's clusters (CQAT).
        per_channel_dense: Quantizes dense kernels per channel, as `convert(target="xnnpack")` writes them;
            NNAPI refuses them.
        range_decay: Momentum of the moving average of the activation ranges, 0 to below 1.
        pixels: What the model's input means, as in `tflite.convert`; by default the model says it.

    Returns:
        A tf_keras model, its layers wrapped by tfmot as `quant_{name}`; `quantized_layers` lists them. Train it with
        `fit`, then convert it with `tflite.convert`, without calibration.

    Raises:
        UserError: A layer with weights is used twice or has no counterpart in tf_keras, the model has several inputs or
            outputs, a name or an option is unknown, or the calibration images do not fit the model.
    """
    if preserve is not None and preserve not in PRESERVED:
        raise UserError(f"preserve={preserve!r}: choose {' or '.join(map(repr, PRESERVED))}, or None")
    if not 0 <= range_decay < 1:
        raise UserError(f"range_decay={range_decay}: give a number from 0 up to, but not including, 1")
    if freeze_batch_norm_after is not None and freeze_batch_norm_after < 0:
        raise UserError(f"freeze_batch_norm_after={freeze_batch_norm_after}: give a number of steps, 0 or more")
    if is_quantize_aware(model):
        raise UserError(f"{model.name} is quantization-aware already; give the float model")
    model = keras_bridge.to_keras(model) if isinstance(model, tf_keras.Model) else model
    model = reparameterized(plain_model(model))
    if len(model.inputs[0].shape) == 5:
        raise UserError(f"{model.name} takes clips: quantization-aware training has no form of their convolutions yet")
    _check_graph(model)
    settings = {"preserve": preserve, "decay": range_decay}
    reasons = _reasons(model, left_in_float)
    scheme = MobileScheme(reasons, settings, dense_axes=1 if per_channel_dense else 0)
    form = model if preserve else int8_form(model, reasons)  # which would move zeros and clusters
    quantized = _plainly(lambda: qat.quantize_apply(_annotated(form, freeze_batch_norm_after), scheme))()
    values = None
    if _takes_items(model):
        values = None if calibration is None else np.asarray(calibration)[:calibration_images]
        _initialize(quantized, None)
    elif input_name(model) in INPUTS:
        values = None if calibration is None else np.asarray(calibration, np.float32)[:calibration_images]
        _initialize(quantized, (-1.0, 1.0) if values is None else (float(values.min()), float(values.max())))
    else:
        if calibration is not None:
            values, _ = first_labelled(calibration, calibration_images, (1, *quantized.input_shape[1:]))
        scaling = scaling_of(model, pixels, values)
        _initialize(quantized, scaling.range)
        values = None if values is None else to_input(values, scaling, model=model.name)
    if values is not None:
        _take_ranges(quantized, values)
    return quantized


def _check_graph(model: keras.Model) -> None:
    """Checks what tfmot's wrappers, and training by `fit`, ask of a graph."""
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise UserError(
            f"{model.name} has {len(model.inputs)} inputs and {len(model.outputs)} outputs; quantization-aware "
            "training is for one of each: convert the model with calibration images instead"
        )
    count = Counter(call.layer.name for call in calls(model))
    twice = [name for name, times in count.items() if times > 1]
    if twice:
        raise UserError(
            f"layer {twice[0]} is used {count[twice[0]]} times, but tfmot's wrapper keeps one output range for a "
            "layer: convert the model with calibration images instead"
        )


_plainly = tf.autograph.experimental.do_not_convert  # without AutoGraph, building is faster


@dataclass(frozen=True)
class QuantizedLayer:
    """How quantization-aware training treats a layer.

    Attributes:
        name: The layer's own name, without tfmot's prefix.
        kind: Class of the layer.
        treatment: As text, such as "int8 weights per channel, output quantized after stem_relu6".
        in_float: Why it is left in float; empty when it is quantized.
    """

    name: str
    kind: str
    treatment: str
    in_float: str


def quantized_layers(model: tf_keras.Model) -> list[QuantizedLayer]:
    """Lists every layer of a quantization-aware model with how it is quantized, or why it is left in float."""
    found = []
    for wrapper in _wrappers(model):
        config, layer = wrapper.quantize_config, wrapper.layer
        parts = []
        if config.kernel:
            parts.append(f"int8 weights {'per channel' if config.channel_axes else 'per tensor'}")
        if config.output:
            parts.append("output quantized")
        elif config.rounded_with:
            parts.append(f"output quantized after {config.rounded_with}")
        else:
            parts.append("same scale as its input" if not config.kernel else "output not quantized")
        treatment = f"float: {config.in_float}" if config.in_float else ", ".join(parts)
        found.append(QuantizedLayer(layer.name, type(layer).__name__, treatment, config.in_float))
    return found


def is_quantize_aware(model: Any) -> bool:
    """Whether a model is one that `quantize_aware` made."""
    return isinstance(model, tf_keras.Model) and any(
        isinstance(wrapper.quantize_config, LayerQuantization) for wrapper in _wrappers(model)
    )


def is_quantize_aware_by_tfmot(model: Any) -> bool:
    """Whether a model is one that tfmot's own `quantize_model` or `quantize_apply` made."""
    return isinstance(model, tf_keras.Model) and bool(_wrappers(model)) and not is_quantize_aware(model)


def _wrappers(model: tf_keras.Model) -> list[Any]:
    return [layer for layer in model.layers if isinstance(layer, qat.QuantizeWrapper)]


def _reasons(model: keras.Model, names: Collection[str]) -> dict[str, str]:
    known = [layer.name for layer in model.layers]
    kernels = [layer.name for layer in model.layers if type(layer).__name__ in KERNELS]
    stand_for = {"first": kernels[0], "last": kernels[-1]} if kernels else {}
    for name in names:
        if name not in known and name not in stand_for:
            raise unknown("layer", name, known, "keras-mobilenets summary")
    return {stand_for.get(name, name): "left in float as requested" for name in names}


def _annotated(model: keras.Model, freeze_after: int | None) -> tf_keras.Model:
    """The model in tf_keras after a layer that quantizes the image, if it is one, every layer annotated for tfmot."""
    (source,) = model.inputs
    image = tf_keras.Input(source.shape[1:], dtype=source.dtype, name=source.name)
    pixels = qat.quantize_annotate_layer(
        tf_keras.layers.Activation("linear", name=f"{source.name}_pixels"), LayerQuantization(output=True, pixels=True)
    )

    def annotate(layer: Any) -> Any:
        made = keras_bridge.tf_keras_layer(layer)
        if freeze_after is not None and isinstance(made, tf_keras.layers.BatchNormalization):
            made = tf_keras_layers.FreezingBatchNormalization.from_config(
                made.get_config() | {"freeze_after": freeze_after}
            )
        wrapper = qat.quantize_annotate_layer(made)

        def call(*x: Any) -> Any:
            y = wrapper(*x)
            weights = keras_bridge.weights_of(layer)
            made.set_weights([*weights, *made.get_weights()[len(weights) :]])
            return y

        return call

    (output,) = keras_bridge.rebuild(model, [image if _takes_items(model) else pixels(image)], annotate)
    return tf_keras.Model(image, output, name=model.name)


def _takes_items(model: Any) -> bool:
    """Whether a model takes the numbers of items, which have no range."""
    return input_name(model) == HISTORY


def _initialize(model: tf_keras.Model, ends: tuple[float, float] | None) -> None:
    """Sets the range of the input, where it has one, and the zeros or clusters to preserve."""
    for wrapper in _wrappers(model):
        for weights, quantizer, variables in wrapper._weight_vars:
            quantizer.remember(weights, variables)
        # tfmot lists a kernel twice if its layer was built before it was wrapped, but once when it is loaded again.
        wrapper._trainable_weights = [weights for weights, _, _ in wrapper._weight_vars]
    if ends is None:
        return
    pixels = _wrappers(model)[0]._output_quantizer_vars
    low, high = ends
    pixels["low"].assign(min(low, 0.0))
    pixels["high"].assign(max(high, 0.0))


def _take_ranges(model: tf_keras.Model, images: np.ndarray) -> None:
    """Calibration: sets every range to the minimum and maximum of the float activations on these images."""
    points: list[Point] = []

    def extremes(image: tf.Tensor) -> Any:
        with unquantized() as found:
            model(image, training=False)
        points[:] = [point for point in found if isinstance(point.low, tf.Variable)]
        values = [point.values for point in points]
        return tf.stack([tf.reduce_min(v) for v in values]), tf.stack([tf.reduce_max(v) for v in values])

    batches = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
    signature = tf.TensorSpec((None, *images.shape[1:]), model.inputs[0].dtype)
    traced = tf.function(extremes, autograph=False).get_concrete_function(signature)  # once, without a warning of it
    found = [traced(tf.constant(batch)) for batch in track(batches, "Calibrating")]
    low = np.min([least for least, _ in found], axis=0)
    high = np.max([greatest for _, greatest in found], axis=0)
    if not np.isfinite([low, high]).all():
        raise UserError("an activation is NaN or infinite on the calibration images: check the model's weights")
    first = 0 if _takes_items(model) else 1  # which is the image
    for point, least, greatest in zip(points[first:], low[first:], high[first:], strict=True):
        point.low.assign(min(least, 0.0))
        point.high.assign(max(greatest, 0.0))
