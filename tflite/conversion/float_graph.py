"""The float .tflite of a Keras model, from which all else is made; its activations are named after the layers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.graph import flatbuffer, layer_names
from keras_mobilenets.tflite.runtime.native_output import suppress_native_output


@dataclass(frozen=True)
class FloatGraph:
    """A model that TensorFlow Lite can run.

    Attributes:
        name: The model's.
        content: The .tflite; that of a quantization-aware model has the ranges that it was trained with.
        input_shape: 1×H×W×C.
        is_trained: Whether the model is quantization-aware.
        left_in_float: Names of what its float layers give.
    """

    name: str
    content: bytes
    input_shape: tuple[int, ...]
    is_trained: bool
    left_in_float: tuple[str, ...] = ()


def float_graph(model: Any, weights: str = "none") -> FloatGraph:
    """Converts a model in float.

    Args:
        model: Keras 3 or tf_keras model, or the path of a `.keras` file.
        weights: "none" (float32), "float16", "dynamic" or "sparse"; a quantization-aware model's stay in float32.

    Raises:
        UserError: The file cannot be loaded, or the model does not convert.
    """
    model, is_trained = opened(model)
    shape = input_shape(model)
    if is_trained:
        content, in_float = _trained_model(model)
        return FloatGraph(model.name, content, shape, True, tuple(in_float))
    return FloatGraph(model.name, _float_model(model, weights), shape, False)


def opened(model: Any) -> tuple[Any, bool]:
    """A model, loaded if it is a path and in Keras 3 if it can be; and whether it is quantization-aware."""
    import keras

    if isinstance(model, str | Path):
        from keras_mobilenets.training.compression.model_loader import load_model

        model = load_model(model)
    if isinstance(model, keras.Model):
        return model, False
    from keras_mobilenets.training.compression import keras_bridge, qat

    if qat.is_quantize_aware(model):
        return model, True
    return keras_bridge.to_keras(model), False


def _float_model(model: Any, quantize: str) -> bytes:
    """Converts from a graph traced with the weights as constants.

    `TFLiteConverter.from_keras_model` saves the model, loads it and freezes it before it converts it: six times the
    work for the same operators.
    """
    import keras
    import tensorflow as tf

    graph = tf.Graph()
    weights = [(variable, keras.ops.convert_to_numpy(variable)) for variable in model.variables]
    with graph.as_default():
        image = tf.compat.v1.placeholder(tf.float32, input_shape(model), name="image")
        constants = [(variable, tf.constant(value)) for variable, value in weights]
        with keras.StatelessScope(state_mapping=constants):
            outputs = [tf.identity(y, name="output") for y in keras.tree.flatten(model(image, training=False))]
    converted = flatbuffer.read(_convert(model.name, graph, [image], outputs, quantize))
    layer_names.name_by_layers(converted, model)
    return flatbuffer.write(converted)


def _trained_model(model: Any) -> tuple[bytes, list[str]]:
    """Converts a quantization-aware model in float, with the ranges that it was trained with in the place of measured.

    Every value with a range is made an output, so that its tensor is found again in the .tflite.

    Returns:
        The .tflite, and the names of what its float layers give.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    from keras_mobilenets.training.compression.quantizers import Point, unquantized

    recorded: list[Point] = []

    @tf.function(autograph=False)
    def run(image: Any) -> Any:
        with unquantized() as found:
            output = model(image, training=False)
        recorded[:] = found
        return [tf.identity(output), *(tf.identity(p.values, name=f"{p.values.op.name}/range") for p in found[1:])]

    with suppress_native_output():
        frozen = convert_variables_to_constants_v2(run.get_concrete_function(tf.TensorSpec(input_shape(model))))
    converted = flatbuffer.read(_convert(model.name, frozen.graph, frozen.inputs, frozen.outputs, "none"))
    graph = converted.subgraphs[0]
    image, *points = recorded
    tensors = dict(zip(map(int, graph.outputs[1:]), points, strict=True))
    for tensor, point in tensors.items():
        low, high = float(point.low), float(point.high)
        if low >= high:
            raise UserError(f"{model.name} has no ranges yet: train it, or give quantize_aware calibration images")
        flatbuffer.set_range(graph.tensors[tensor], low, high)
    flatbuffer.set_range(graph.tensors[graph.inputs[0]], float(image.low), float(image.high))
    graph.outputs = graph.outputs[:1]
    graph.tensors[graph.outputs[0]].name = b"output"
    layer_names.name_by_layers(converted, model)
    in_float = [graph.tensors[tensor].name.decode() for tensor, point in tensors.items() if point.is_float]
    return flatbuffer.write(converted), in_float


def _convert(name: str, graph: Any, inputs: list[Any], outputs: list[Any], quantize: str) -> bytes:
    import tensorflow as tf

    # The public converter that takes a frozen graph as it is.
    converter = tf.compat.v1.lite.TFLiteConverter(graph.as_graph_def(), inputs, outputs)
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
            reason = str(error).strip().splitlines() or [last_line()]
            raise UserError(f"{name} does not convert: {' '.join(reason[0].split())}") from error


def input_shape(model: Any) -> tuple[int, ...]:
    """1×H×W×C of a model that can be converted.

    Raises:
        UserError: It has several inputs, or one of no fixed size, or another backend.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        raise UserError(
            f"conversion needs the TensorFlow backend, Keras runs on {keras.backend.backend()}: save the model, set "
            "KERAS_BACKEND=tensorflow and convert the file"
        )
    if len(model.inputs) != 1:
        raise UserError(f"{model.name} has {len(model.inputs)} inputs; a model with one image input is needed")
    shape = tuple(model.inputs[0].shape[1:])
    if None in shape:
        raise UserError(f"{model.name} takes images of any size: build it with input_shape=(height, width, 3)")
    return 1, *shape
