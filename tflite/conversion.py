"""A Keras model as a .tflite: float32, float16 weights, dynamic range, or all int8.

int8 follows TensorFlow Lite's quantization specification: weights symmetric and per channel, activations per tensor.
"""

from pathlib import Path
from typing import Any

from keras_mobilenets import files
from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite import flatbuffer
from keras_mobilenets.tflite.forms import FORMS
from keras_mobilenets.tflite.quiet import quiet
from keras_mobilenets.tflite.vetting import trust

QUANTIZATIONS = ("none", "float16", "dynamic", "int8")


def convert(
    model: Any,
    path: str | Path,
    *,
    quantize: str | None = None,
    calibration: Any = None,
    calibration_images: int = 256,
    target: str = "nnapi",
    sparse: bool = False,
) -> Path:
    """Converts a model to a .tflite that runs one image at a time.

    Args:
        model: Keras 3 model of a fixed input size on the TensorFlow backend, one image input; a quantization-aware or
            pruned tf_keras model; or the path of a `.keras` file of one of these.
        path: Where the .tflite is written.
        quantize: "none" (float32), "float16" (weights), "dynamic" (int8 weights, float activations), or "int8": every
            tensor, the input and output too. Its input is then raw pixels minus 128 (scale 1/127.5). Default: "int8"
            for a quantization-aware model, which knows no other, "none" for all others.
        calibration: For "int8" of a model that is not quantization-aware: images like those the model will see, a few
            hundred or so. uint8 N×H×W×3 (scaled as `preprocess_input` does) or floats already scaled; an array, or a
            tf.data pipeline with or without labels.
        calibration_images: At most this many are used, the first ones.
        target: What is to run the model, "nnapi", "xnnpack" (a CPU) or "gpu". It decides on the operators of an int8
            model (the table is `forms.FORMS`): NNAPI and the GPU delegate get HARD_SWISH and dense layers of one scale,
            XNNPACK what it takes in one piece. Float models are the same for all.
        sparse: A float32 model stores the zeros of a pruned one as sparse tensors, which XNNPACK's sparse kernels skip
            on Arm. They ask for two thirds of zeros or more in the 1×1 convolutions, a 3×3 stem at stride 2, and
            strides with as much padding before the image as after it ("same" at odd sizes, or a symmetric padding).

    Returns:
        The path.

    Raises:
        UserError: An argument is unknown, the graph does not qualify for `sparse` (the message says why), calibration
            images are missing or do not fit, the model has an input of no fixed size or an operator that TensorFlow
            Lite lacks, or the file cannot be written.
    """
    if quantize not in (*QUANTIZATIONS, None):
        raise UserError(f"quantize={quantize!r}: choose one of {', '.join(QUANTIZATIONS)}")
    if target not in FORMS:
        raise UserError(f"target={target!r}: choose one of {', '.join(FORMS)}")
    if calibration_images < 1:
        raise UserError(f"calibration_images={calibration_images}: give 1 or more")
    model, is_trained = _opened(model)
    quantize = quantize or ("int8" if is_trained else "none")
    if is_trained and quantize != "int8":
        raise UserError(f"{model.name} was trained for int8; convert the float model for quantize={quantize!r}")
    if quantize == "int8" and calibration is None and not is_trained:
        raise UserError('quantize="int8" needs calibration= images: a hundred or more of those the model will see')
    if sparse and quantize != "none":
        raise UserError(f'sparse=True is for float32, quantize="none": XNNPACK has no sparse kernels for {quantize}')
    left_in_float: list[str] = []
    if is_trained:
        content, left_in_float = _trained_model(model)
    else:
        content = _float_model(model, "sparse" if sparse else quantize)
        if quantize == "int8":
            from keras_mobilenets.tflite.calibration import calibrate

            content = calibrate(content, calibration, calibration_images)
    if sparse:
        from keras_mobilenets.tflite.sparsity import fit_sparse_kernels

        content = fit_sparse_kernels(content)
    if quantize == "int8":
        from keras_mobilenets.tflite.rewriting import rewrite

        content = _int8_model(content, left_in_float, per_channel_dense=FORMS[target].per_channel_dense)
        content = rewrite(content, FORMS[target])
    with files.atomic(path) as temporary:
        temporary.write_bytes(content)
    trust(path)
    return Path(path)


def _opened(model: Any) -> tuple[Any, bool]:
    """The model, loaded if it is a path and in Keras 3 if it can be; and whether it is quantization-aware."""
    import keras

    if isinstance(model, str | Path):
        from keras_mobilenets.training.loading import load_model

        model = load_model(model)
    if isinstance(model, keras.Model):
        return model, False
    from keras_mobilenets.training import bridge, quantization

    if quantization.is_quantize_aware(model):
        return model, True
    return bridge.to_keras(model), False


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
        image = tf.compat.v1.placeholder(tf.float32, _input_shape(model), name="image")
        constants = [(variable, tf.constant(value)) for variable, value in weights]
        with keras.StatelessScope(state_mapping=constants):
            outputs = [tf.identity(y, name="output") for y in keras.tree.flatten(model(image, training=False))]
    return _convert(model.name, graph, [image], outputs, quantize)


def _trained_model(model: Any) -> tuple[bytes, list[str]]:
    """Converts a quantization-aware model in float, with the ranges that it was trained with in the place of measured.

    Every value with a range is made an output, so that its tensor is found again in the .tflite.

    Returns:
        The .tflite, and the names of what its float layers give.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    from keras_mobilenets.training.quantizers import Point, unquantized

    recorded: list[Point] = []

    @tf.function(autograph=False)
    def run(image: Any) -> Any:
        with unquantized() as found:
            output = model(image, training=False)
        recorded[:] = found
        return [tf.identity(tensor) for tensor in (output, *(point.values for point in found[1:]))]

    with quiet():
        frozen = convert_variables_to_constants_v2(run.get_concrete_function(tf.TensorSpec(_input_shape(model))))
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
    left = [graph.tensors[tensor].name.decode() for tensor, point in tensors.items() if point.is_float]
    return flatbuffer.write(converted), left


def _convert(name: str, graph: Any, inputs: list[Any], outputs: list[Any], quantize: str) -> bytes:
    import tensorflow as tf

    # The public converter that takes a frozen graph as it is.
    converter = tf.compat.v1.lite.TFLiteConverter(graph.as_graph_def(), inputs, outputs)
    if quantize in ("float16", "dynamic"):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if quantize == "sparse":
        converter.optimizations = [tf.lite.Optimize.EXPERIMENTAL_SPARSITY]
    with quiet() as last_line:
        try:
            return converter.convert()
        except Exception as error:
            reason = str(error).strip().splitlines() or [last_line()]
            raise UserError(f"{name} does not convert: {' '.join(reason[0].split())}") from error


def _int8_model(calibrated: bytes, left_in_float: list[str], *, per_channel_dense: bool) -> bytes:
    """Quantizes a float .tflite with the ranges in it; operators that give one of the named tensors stay in float."""
    import tensorflow as tf
    from tensorflow.lite.python.convert import mlir_quantize

    with quiet() as last_line:
        try:
            return mlir_quantize(
                calibrated,
                input_data_type=tf.int8,
                output_data_type=tf.int8,
                denylisted_nodes=left_in_float or None,
                disable_per_channel_for_dense_layers=not per_channel_dense,
            )
        except Exception as error:
            raise UserError(f"the model does not quantize to int8: {last_line() or error}") from error


def _input_shape(model: Any) -> tuple[int, ...]:
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
