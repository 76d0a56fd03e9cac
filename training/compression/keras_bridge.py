"""Conversion of functional models between Keras 3 and tf_keras, layer by layer with their weights.

TensorFlow Model Optimization supports tf_keras (Keras 2) models only; the builders are Keras 3. Layer names stay.
Initializers, regularizers and constraints are dropped, since the weights are copied.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tf_keras

from keras_mobilenets import blocks
from keras_mobilenets.errors import UserError
from keras_mobilenets.graphs.flat_model import calls, flat_model
from keras_mobilenets.graphs.plain_layers import plain_model
from keras_mobilenets.training.compression import tf_keras_layers, tf_operators

# Constructor arguments of each layer, which have the same names in Keras 3 and in tf_keras.
_CONVOLUTION = "kernel_size strides padding dilation_rate activation use_bias"
_ARGUMENTS = {
    "Activation": "activation",
    "Add": "",
    "Average": "",
    "AveragePooling2D": "pool_size strides padding",
    "BatchNormalization": "axis momentum epsilon center scale",
    "Concatenate": "axis",
    "CenterCrop": "height width",
    "Conv1D": f"filters groups {_CONVOLUTION}",
    "Conv2D": f"filters groups {_CONVOLUTION}",
    "Conv2DTranspose": f"filters {_CONVOLUTION}",
    "Cropping2D": "cropping data_format",
    "Dense": "units activation use_bias",
    "DepthwiseConv2D": f"depth_multiplier {_CONVOLUTION}",
    "Dot": "axes normalize",
    "Dropout": "rate",
    "ELU": "alpha",
    "Embedding": "input_dim output_dim",
    "Flatten": "",
    "GaussianNoise": "stddev",
    "GlobalAveragePooling1D": "keepdims",
    "GlobalAveragePooling2D": "keepdims",
    "GlobalMaxPooling1D": "keepdims",
    "GlobalMaxPooling2D": "keepdims",
    "GroupNormalization": "groups axis epsilon center scale",
    "Identity": "",
    "LayerNormalization": "axis epsilon center scale",
    "MaxPooling1D": "pool_size strides padding",
    "MaxPooling2D": "pool_size strides padding",
    "Maximum": "",
    "Minimum": "",
    "Multiply": "",
    "PReLU": "shared_axes",
    "Permute": "dims",
    "RandomBrightness": "factor value_range",
    "RandomContrast": "factor",
    "RandomFlip": "mode",
    "RandomRotation": "factor fill_mode interpolation",
    "RandomTranslation": "height_factor width_factor fill_mode interpolation",
    "RandomZoom": "height_factor width_factor fill_mode interpolation",
    "ReLU": "max_value negative_slope threshold",
    "Rescaling": "scale offset",
    "Reshape": "target_shape",
    "Resizing": "height width interpolation crop_to_aspect_ratio",
    "SeparableConv2D": f"filters depth_multiplier {_CONVOLUTION}",
    "Softmax": "axis",
    "SpeechFrontEnd": "features",
    "SpatialDropout2D": "rate",
    "Subtract": "",
    "UpSampling2D": "size interpolation",
    "ZeroPadding2D": "padding",
    "AttentionBias": "height width",
    "BilinearResizing": "height width",
    "ChannelSlice": "start stop",
    "InverseDeviation": "epsilon of_map",
    "MatrixProduct": "transposed",
    "MeanOverDeviation": "epsilon of_map",
    "NearestResizing": "",
    "PhasesToMap": "",
    "RowsToMap": "",
}
# tf_keras_layers.py has those that tf_keras lacks or computes differently.
_ACTIVATIONS = (
    "elu",
    "gelu",
    "hard_sigmoid",
    "hard_silu",
    "linear",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "tanh",
)


def to_tf_keras(model: keras.Model) -> tf_keras.Model:
    """Rebuilds a functional Keras 3 model in tf_keras.

    Args:
        model: Keras 3 model; models inside it are taken apart, and layers used twice are so again.

    Returns:
        The tf_keras model: the same layer names, weights and outputs, with no optimizer.

    Raises:
        UserError: The model was never built, its graph cannot be seen, or it has a layer without a counterpart in
            tf_keras; the layer is named.
    """
    if not isinstance(model, keras.Model):
        raise UserError(f"to_tf_keras takes a Keras 3 model, not {type(model).__module__}.{type(model).__name__}")
    model = plain_model(model)
    inputs = [tf_keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=tensor.name) for tensor in model.inputs]
    outputs = rebuild(model, inputs, lambda layer: call_with_weights(tf_keras_layer(layer), layer))
    return tf_keras.Model(_one(inputs), _one(outputs), name=model.name)


def to_keras(model: tf_keras.Model) -> keras.Model:
    """Rebuilds a functional tf_keras model in Keras 3, such as one that tfmot has pruned and stripped.

    Args:
        model: Functional tf_keras model of the layers that `to_tf_keras` makes.

    Returns:
        The Keras 3 model: the same layer names, weights and outputs.

    Raises:
        UserError: The model is not functional, or has a layer that is unknown or still wrapped by tfmot.
    """
    if not isinstance(model, tf_keras.Model):
        raise UserError(f"to_keras takes a tf_keras model, not {type(model).__module__}.{type(model).__name__}")
    _check_functional(model)
    inputs = [
        keras.Input(tuple(tensor.shape[1:]), dtype=tensor.dtype.name, name=tensor.node.layer.name)
        for tensor in model.inputs
    ]
    outputs = rebuild(model, inputs, _keras_layer)
    return keras.Model(_one(inputs), _one(outputs), name=model.name)


def _check_functional(model: tf_keras.Model) -> None:
    if not model._is_graph_network:
        raise UserError(f"{model.name} is no functional model; build it from layers with Input and Model, or save it")


def rebuild(model: Any, inputs: Sequence[Any], make: Callable[[Any], Callable[[Any], Any]]) -> list[Any]:
    """Rebuilds a functional model with another layer in place of each of its layers.

    Args:
        model: Functional or Sequential model, Keras 3 or tf_keras; models inside a tf_keras one are taken apart.
        inputs: One tensor for each input of the model.
        make: Function of a layer to the callable in its place, which takes one tensor or a list of tensors; it is asked
            once for a layer that is used twice.

    Returns:
        The outputs.
    """
    model = flat_model(model) if isinstance(model, keras.Model) else model  # a Sequential model has no graph of its own
    made: dict[int, Callable[[Any], Any]] = {}

    def place(layer: Any, sources: list[Any]) -> list[Any]:
        if isinstance(layer, tf_keras.Model):
            return run(layer, sources)
        if id(layer) not in made:
            made[id(layer)] = make(layer)
        return keras.tree.flatten(made[id(layer)](_one(sources)))

    def run(model: Any, inputs: Sequence[Any]) -> list[Any]:
        tensors = {id(old): new for old, new in zip(model.inputs, inputs, strict=True)}
        for layer, before, after, *_ in calls(model) if isinstance(model, keras.Model) else _tf_keras_calls(model):
            results = place(layer, [tensors[id(tensor)] for tensor in before])
            tensors |= {id(old): new for old, new in zip(after, results, strict=True)}
        return [tensors[id(tensor)] for tensor in model.outputs]

    return run(model, inputs)


def _tf_keras_calls(model: Any) -> Iterator[tuple[Any, list[Any], list[Any]]]:
    """The layers of a tf_keras model with the tensors they read and give, in the order of its graph."""
    for _, level in sorted(model._nodes_by_depth.items(), reverse=True):
        for node in level:
            if not isinstance(node.layer, tf_keras.layers.InputLayer):
                yield node.layer, list(node.keras_inputs), keras.tree.flatten(node.outputs)


def tf_keras_layer(layer: Any) -> Any:
    """The tf_keras layer for a Keras 3 layer, without weights.

    Raises:
        UserError: There is none.
    """
    kind, settings = _settings(layer, tf_keras)
    if kind == "Activation" and settings["activation"] == "hard_sigmoid":
        made = tf_keras_layers.HardSigmoid(name=layer.name)
    else:
        if "activation" in settings:
            name = settings["activation"]
            settings["activation"] = getattr(tf_keras_layers, name, None) or getattr(tf_keras.activations, name)
        if kind in ("Dropout", "SpatialDropout2D"):
            settings["rng_type"] = "stateful"  # with a variable, so that a training can resume
        made = (getattr(tf_keras_layers, kind, None) or getattr(tf_keras.layers, kind))(**settings, name=layer.name)
    made.trainable = layer.trainable
    return made


def call_with_weights(made: Any, layer: Any) -> Callable[[Any], Any]:
    """Returns a function that calls the layer `made` and then gives it the weights of `layer`."""

    def call(*x: Any) -> Any:
        y = made(*x)
        made.set_weights(weights_of(layer))
        return y

    return call


def weights_of(layer: Any) -> list[np.ndarray]:
    """The weights that a layer's counterpart has too: those of Normalization are its counterpart's arguments."""
    return [] if type(layer).__name__ == "Normalization" else layer.get_weights()


def _keras_layer(layer: Any) -> Callable[[Any], Any]:
    name = layer.name.replace("/", "_")  # the layers of Keras 2's MobileNetV3 are called like paths
    if isinstance(layer, tf_keras_layers.HardSigmoid):
        return keras.layers.Activation("hard_sigmoid", name=name)
    if type(layer).__name__ == "TFOpLambda" and (plain := tf_operators.plain_layer(layer)) is not None:
        return plain
    kind, settings = _settings(layer, keras)
    made = (getattr(blocks, kind, None) or getattr(keras.layers, kind))(**settings, name=name)
    made.trainable = layer.trainable
    call = call_with_weights(made, layer)
    two = kind in ("MatrixProduct", "NearestResizing", "PhasesToMap", "RowsToMap")
    return (lambda tensors: call(*tensors)) if two else call


def _settings(layer: Any, library: Any) -> tuple[str, dict[str, Any]]:
    """The class of the counterpart of a layer and its arguments, its activation by name."""
    kind = type(layer).__name__
    activation = _activation_name(layer)
    if kind not in {*_ARGUMENTS, "LeakyReLU", "Normalization"} or not _is_layer(layer):
        problem = f"({type(layer).__module__}.{kind})"
    elif kind != "Cropping2D" and getattr(layer, "data_format", "channels_last") == "channels_first":
        problem = f"({kind}, channels first)"
    elif activation not in _ACTIVATIONS:
        problem = f"({kind} with activation {activation})"
    elif kind == "Normalization":
        return _rescaling(layer)
    else:
        config = layer.get_config() | {"activation": activation}
        if kind == "LeakyReLU":
            return "ReLU", {"negative_slope": float(config.get("negative_slope", config.get("alpha")))}
        if kind in ("BatchNormalization", "LayerNormalization") and not isinstance(config["axis"], int):
            (config["axis"],) = config["axis"]
        return kind, {name: _plain(config[name]) for name in _ARGUMENTS[kind].split()}
    raise UserError(
        f"layer {layer.name} {problem} has no counterpart in {library.__name__}; use plain layers such as those that "
        "keras_mobilenets.blocks are made of"
    )


def _is_layer(layer: Any) -> bool:
    return isinstance(layer, keras.layers.Layer | tf_keras.layers.Layer)


def _activation_name(layer: Any) -> str:
    function = getattr(layer, "activation", None)
    if function is tf_keras.activations.hard_sigmoid:
        return "hard_sigmoid of slope 0.2"  # Keras 3's has a slope of 1/6
    name = getattr(function, "__name__", "linear")
    return "silu" if name == "swish" else name


def _rescaling(layer: Any) -> tuple[str, dict[str, Any]]:
    """Normalization as Rescaling: (x − mean) / deviation, which it inverts on request, one of each for a channel."""
    mean, variance = (np.asarray(value, "float64").reshape(-1) for value in (layer.mean, layer.variance))
    deviation = np.maximum(np.sqrt(variance), keras.config.epsilon())
    scale, offset = (deviation, mean) if layer.invert else (1 / deviation, -mean / deviation)
    if any(size != 1 for size in layer.mean.shape[:-1]):
        raise UserError(f"layer {layer.name} (Normalization over axis {layer.axis}) has no counterpart: use axis=-1")
    return "Rescaling", {"scale": _plain(scale), "offset": _plain(offset)}


def _plain(value: Any) -> Any:
    """Plain lists and numbers for those that a library has wrapped."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _one(tensors: Sequence[Any]) -> Any:
    return tensors[0] if len(tensors) == 1 else list(tensors)
