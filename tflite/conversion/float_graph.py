"""The float .tflite of a Keras model, from which all else is made; its activations are named after the layers."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.conversion.folds.activation_fusion import fuse_activations
from keras_mobilenets.tflite.conversion.folds.channel_scale_fold import fold_channel_scales
from keras_mobilenets.tflite.conversion.forms.layer_normalization import simplify
from keras_mobilenets.tflite.conversion.quantization import fixed_ranges
from keras_mobilenets.tflite.conversion.tfmot_model import is_of_tfmot
from keras_mobilenets.tflite.conversion.traced_graph import (
    ExportedModel,
    Input,
    TracedGraph,
    check_backend,
    declared_inputs,
    frozen,
    traced,
)
from keras_mobilenets.tflite.graph import flatbuffer, layer_names, signature
from keras_mobilenets.tflite.runtime.native_output import suppress_native_output


@dataclass(frozen=True)
class FloatGraph:
    """A model that TensorFlow Lite can run.

    Attributes:
        name: The model's.
        content: The .tflite; that of a quantization-aware model has the ranges that it was trained with.
        inputs: What it takes.
        is_trained: Whether the model is quantization-aware.
        left_in_float: Names of what its float layers give.
        front_end: What its front end gives, which int8 leaves in float; empty where it has none.
    """

    name: str
    content: bytes
    inputs: tuple[Input, ...]
    is_trained: bool
    left_in_float: tuple[str, ...] = ()
    front_end: str = ""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """That of the first input, 1×H×W×C of an image."""
        return self.inputs[0].shape


def float_graph(
    model: Any, weights: str = "none", input_shape: Sequence[int] | None = None, *, for_int8: bool = False
) -> FloatGraph:
    """Converts a model in float.

    Args:
        model: As `convert` takes it, or what `opened` gives.
        weights: "none" (float32), "float16", "dynamic" or "sparse"; a quantization-aware model's stay in float32.
        input_shape: As in `convert`.
        for_int8: Whether uint8 inputs become float ones, which quantization turns into int8.

    Raises:
        UserError: The file cannot be loaded, or the model does not convert.
    """
    model, is_trained = opened(model)
    if is_of_tfmot(model):
        raise UserError(
            f"{model.name} was made quantization-aware by tfmot itself: convert takes it as it is; for all else give "
            "the float model, or training.quantize_aware of it"
        )
    if is_trained:
        check_backend()
        return _trained_model(model)
    graph = traced(model, input_shape, for_int8)
    converted = flatbuffer.read(_convert(graph, weights))
    signature.name_ends(converted, [source.name for source in graph.declared], graph.output_names)
    layer_names.name_by_layers(converted, graph.model)
    if weights == "none":
        float_ops = flatbuffer.Graph(converted)
        fuse_activations(float_ops)
        fold_channel_scales(float_ops)
        simplify(float_ops, for_int8=for_int8)
    content = flatbuffer.write(converted)
    return FloatGraph(model.name, content, graph.declared, False, front_end=_front_end(content, graph.model))


def opened(model: Any) -> tuple[Any, bool]:
    """A model, loaded if it is a path and in Keras 3 if it can be; and whether it is quantization-aware.

    Raises:
        UserError: It is no Keras model, or a file that cannot be loaded.
    """
    import keras

    if isinstance(model, str | Path):
        from keras_mobilenets.training.compression.model_loader import load_model
        from keras_mobilenets.weights.saved_model import model_format

        model = ExportedModel(model) if model_format(model) == "export" else load_model(model)
    if isinstance(model, keras.Model | ExportedModel):
        return model, False
    import tf_keras

    if not isinstance(model, tf_keras.Model):
        raise UserError(
            f"a Keras model or the path of one is needed, not {type(model).__module__}.{type(model).__name__}"
        )
    from keras_mobilenets.training.compression import qat
    from keras_mobilenets.training.compression.model_loader import in_keras

    if qat.is_quantize_aware(model) or qat.is_quantize_aware_by_tfmot(model):
        return model, True
    return in_keras(model), False


def _trained_model(model: Any) -> FloatGraph:
    """Converts a quantization-aware model in float, with the ranges that it was trained with in the place of measured.

    Every value with a range is made an output, so that its tensor is found again in the .tflite.
    """
    import tensorflow as tf

    from keras_mobilenets.training.compression.qat import quantized_layers
    from keras_mobilenets.training.compression.quantizers import Point, unquantized

    recorded: list[Point] = []
    first = 0 if model.inputs[0].dtype.is_integer else 1  # the image, where the model takes one

    @tf.function(autograph=False)
    def run(image: Any) -> Any:
        with unquantized() as found:
            output = model(image, training=False)
        recorded[:] = found
        return [tf.identity(output), *(tf.identity(p.values, name=f"{p.values.op.name}/range") for p in found[first:])]

    _, declared = declared_inputs(model.name, model, None)
    traced_graph = frozen(model.name, model, run, declared, ["output"])
    converted = flatbuffer.read(_convert(traced_graph, "none"))
    graph = converted.subgraphs[0]
    tensors = dict(zip(map(int, graph.outputs[1:]), recorded[first:], strict=True))
    for tensor, point in tensors.items():
        low, high = float(point.low), float(point.high)
        if low >= high:
            raise UserError(f"{model.name} has no ranges yet: train it, or give quantize_aware calibration images")
        flatbuffer.set_range(graph.tensors[tensor], low, high)
    for image in recorded[:first]:
        flatbuffer.set_range(graph.tensors[graph.inputs[0]], float(image.low), float(image.high))
    graph.outputs = graph.outputs[:1]
    fixed_ranges.keep(converted)
    signature.name_ends(converted, [source.name for source in declared], ["output"])
    layer_names.name_by_layers(converted, model)
    in_float = {graph.tensors[tensor].name.decode() for tensor, point in tensors.items() if point.is_float}
    floats = {layer.name for layer in quantized_layers(model) if layer.in_float}
    made = [graph.tensors[output].name.decode() for operator in graph.operators for output in operator.outputs]
    in_float |= {name for name in made if floats.issuperset(layer_names.layers(name))}  # inside of such layers
    simplify(flatbuffer.Graph(converted), for_int8=True, folds=False)
    content = flatbuffer.write(converted)
    return FloatGraph(model.name, content, declared, True, tuple(sorted(in_float)), _front_end(content, model))


def _front_end(content: bytes, model: Any) -> str:
    """The name of what the layer gives that makes features of a waveform; empty where there is none."""
    layers = [getattr(layer, "layer", layer) for layer in getattr(model, "layers", ())]  # in tfmot's wrapper
    names = [layer.name for layer in layers if getattr(layer, "stays_in_float", False)]
    return layer_names.tensors_of(content, names)[-1] if names else ""


def _convert(graph: TracedGraph, quantize: str) -> bytes:
    import tensorflow as tf

    # The public converter that takes a frozen graph as it is.
    converter = tf.compat.v1.lite.TFLiteConverter(graph.graph.as_graph_def(), graph.inputs, graph.outputs)
    if quantize in ("float16", "dynamic"):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        # One scale for each output of a dense layer is version 12 of the operator: TensorFlow Lite 2.16 lacks it.
        converter._experimental_disable_per_channel_quantization_for_dense_layers = True
    if quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if quantize == "sparse":
        converter.optimizations = [tf.lite.Optimize.EXPERIMENTAL_SPARSITY]
    with suppress_native_output() as last_line:
        try:
            return converter.convert()
        except Exception as error:
            raise UserError(f"{graph.name} does not convert: {_reason(str(error) or last_line(), graph)}") from error


def _reason(message: str, graph: TracedGraph) -> str:
    """Why the converter refuses, in one line: the operator that TensorFlow Lite lacks, and the layer that it is of."""
    lacking = re.search(r"'tf\.(\w+)' op is neither a custom op nor a flex op", message)
    if lacking is None:
        return " ".join(message.split("\n")[0].split())
    place = re.search(rf'"{lacking[1]}:?", "([^"]+)"', message)
    layer = layer_names.layer_of(place[1], graph.model) if place else None
    return f"TensorFlow Lite has no operator {lacking[1]}" + (f"; layer {layer} needs it" if layer else "")
