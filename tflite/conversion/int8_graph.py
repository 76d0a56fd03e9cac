"""The int8 .tflite of a float graph: what stays in float, the recipe for the rest, the form of the target."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.conversion.float_graph import FloatGraph
from keras_mobilenets.tflite.conversion.folds.scaling_fold import fold_scaling
from keras_mobilenets.tflite.conversion.folds.shuffle_fold import fold_shuffles
from keras_mobilenets.tflite.conversion.forms.attached_curve import attach
from keras_mobilenets.tflite.conversion.io_dtype import with_uint8_ends
from keras_mobilenets.tflite.conversion.quantization import int16_activations
from keras_mobilenets.tflite.conversion.quantization.choice import choose
from keras_mobilenets.tflite.conversion.quantization.front_end import cut, joined
from keras_mobilenets.tflite.conversion.quantization.quantizer import quantized
from keras_mobilenets.tflite.conversion.quantization.recipe import Quantization, Recipe
from keras_mobilenets.tflite.conversion.samples import Samples
from keras_mobilenets.tflite.conversion.target_rewriter import rewrite
from keras_mobilenets.tflite.graph import flatbuffer, layer_names, scale_limits
from keras_mobilenets.tflite.graph.verifier import InvalidModelError
from keras_mobilenets.tflite.graph.weights import with_constants_of
from keras_mobilenets.tflite.results.trade_off import Point
from keras_mobilenets.tflite.runtime.activations import outputs
from keras_mobilenets.tflite.targets.operator_forms import Forms

EFFORTS = ("low", "default", "high")


@dataclass(frozen=True)
class Int8:
    """How a float graph becomes int8: the arguments of `convert` with these names."""

    calibration_method: str
    effort: str
    leave_in_float: Sequence[str] | int | str
    max_slowdown: float | None
    min_sqnr: float | None
    equalize: bool
    bias_correction: bool
    io_dtype: str


def int8_graph(graph: FloatGraph, found: Samples | None, how: Int8, forms: Forms, *, wide: bool = False) -> bytes:
    """The int8 .tflite for a target, activations int16 if `wide`; without samples for a model that knows its ranges."""
    if graph.front_end:
        head, content = cut(graph.content, graph.front_end)
        network = FloatGraph(graph.name, content, graph.inputs, graph.is_trained, graph.left_in_float)
        return joined(head, int8_graph(network, found and _behind(head, found), how, forms, wide=wide))
    content = int16_activations.with_hard_swish_in_parts(graph.content) if wide else graph.content
    layers = () if how.leave_in_float == "auto" else how.leave_in_float

    def quantize(calibrated: bytes) -> bytes:
        nonlocal layers
        if isinstance(layers, int):
            layers = _worst(calibrated, found.values, layers) if layers and found else ()
        in_float = [*graph.left_in_float, *layer_names.tensors_of(calibrated, layers)]
        result = quantized(calibrated, in_float, per_channel_dense=forms.per_channel_dense)
        if not wide:  # it may be run at once
            check_scales(result)
        return result

    said, points = "int8, trained for it", tuple[Point, ...]()
    if found is None or graph.is_trained:
        result = quantize(flatbuffer.changed(content, fold_scaling))
    else:
        if how.calibration_method == "auto" and not (how.equalize or how.bias_correction or wide):
            choice = choose(content, found.values, found.ranges, quantize, how.effort)
            result, recipe, quantization, said = choice.content, choice.recipe, choice.quantization, str(choice)
        else:
            method = "percentile" if how.calibration_method == "auto" else how.calibration_method
            recipe = Recipe(method, equalize=how.equalize, correct=how.bias_correction)
            quantization = Quantization(content, found.values, found.ranges, quantize)
            result, said = quantization.int8(recipe), f"int8, {recipe}"
        if how.leave_in_float == "auto":
            layers, points = _bought(quantization.calibrated(recipe), result, found.values, how, forms)
            result, said = quantization.int8(recipe), f"int8, {recipe}, {_paid(points)}"
    if wide:
        return int16_activations.with_int16_activations(flatbuffer.changed(result, fold_shuffles))
    result = rewrite(flatbuffer.described(result, said), forms)
    if points:
        result = attach(result, points)
    return with_uint8_ends(result) if how.io_dtype == "uint8" else result


def _behind(head: bytes, found: Samples) -> Samples:
    """Samples of what a front end gives."""
    graph = flatbuffer.read(head).subgraphs[0]
    shape = flatbuffer.shape_of(graph.tensors[graph.outputs[0]])
    (values,) = outputs(head, found.values)
    return found._replace(values=[values.reshape(-1, *shape[1:])], ranges=[None])


def check_scales(content: bytes) -> None:
    """Refuses a file that takes down the process that runs it."""
    try:
        scale_limits.check(flatbuffer.read(content))
    except InvalidModelError as reason:
        raise UserError(
            f"the model cannot be int8: {reason}; that layer hardly varies over the calibration images: give others, "
            "train the model, or name the layer in leave_in_float"
        ) from reason


def _worst(calibrated: bytes, values: Any, count: int) -> list[str]:
    from keras_mobilenets.tflite.conversion.sensitivity import scan

    return scan(calibrated, [array[:64] for array in values]).worst(count)


def _bought(
    calibrated: bytes, int8: bytes, values: Any, how: Int8, forms: Forms
) -> tuple[list[str], tuple[Point, ...]]:
    """Layers that a mixed model leaves in float, and the curve of accuracy over latency that they are the end of."""
    from keras_mobilenets.tflite.conversion.mixed_precision import trade_off

    def mixed(content: bytes, in_float: Sequence[str]) -> bytes:
        made = quantized(content, in_float, per_channel_dense=forms.per_channel_dense)
        return rewrite(with_constants_of(made, int8), forms)

    found = trade_off(calibrated, values, mixed, how.max_slowdown, how.min_sqnr)
    return list(dict.fromkeys(layer for tensor in found.tensors for layer in layer_names.layers(tensor))), found.points


def _paid(points: Sequence[Point]) -> str:
    """What the last point has in float, costs and brings, in words."""
    first, last = points[0], points[-1]
    blocks = ", ".join(last.blocks) or "nothing"
    return f"{blocks} in float: {last.slowdown:.2f} of the time of all int8, {last.sqnr_db - first.sqnr_db:+.1f} dB"
