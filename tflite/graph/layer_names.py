"""Names of activations: the Keras layers that an operator computes, in the place of TensorFlow's scopes.

"net_1/stem_bn_1/batchnorm/add_1;net_1/stem_1/convolution;…" becomes "stem;stem_bn": shorter, the same in the float and
in the int8 file, and what a user calls the layers.
"""

import itertools
import re
from collections.abc import Iterable, Sequence
from typing import Any

from keras_mobilenets.errors import unknown
from keras_mobilenets.tflite.graph import flatbuffer

EQUALIZED = " equalized"  # "stem equalized": its channels were scaled
TIMES = " *"  # "stem *0.408": the tensor stands for that multiple of what the layer gives


def name_by_layers(model: Any, keras_model: Any) -> None:
    """Renames every activation of a freshly converted `ModelT`, but for the graph's output, after its layers.

    Args:
        model: What the converter gave.
        keras_model: What it was given, Keras 3 or tf_keras; None where there are no layers.
    """
    order = (
        {name.removeprefix("quant_"): place for place, name in enumerate(_layer_names(keras_model))}
        if keras_model
        else {}
    )
    graph = model.subgraphs[0]
    used: set[str] = set()
    for operator in graph.operators:
        for index in operator.outputs:
            tensor = graph.tensors[index]
            if index in graph.outputs:
                continue
            # The weights' names too: what is folded into an operator may appear in them only.
            constants = [graph.tensors[i] for i in operator.inputs if i >= 0]
            names = [t.name.decode() for t in (tensor, *constants) if t is tensor or flatbuffer.is_constant(model, t)]
            found = {layer for name in names for part in name.split(";") if (layer := _layer(part, order))}
            name = base = ";".join(sorted(found, key=order.__getitem__)) or tensor.name.decode()
            for number in itertools.count(2):
                if name not in used:
                    break
                name = f"{base}:{number}"  # a layer of several operators
            used.add(name)
            tensor.name = name.encode()


def layer_of(scope: str, keras_model: Any) -> str | None:
    """The Keras layer that a TensorFlow name, such as "net_1/stem_1/convolution", belongs to."""
    return _layer(scope, _order(keras_model))


def layers(name: str) -> list[str]:
    """The layers in the name of an activation; the first has the weights, where one has."""
    return name.split(TIMES)[0].removesuffix(EQUALIZED).split(":")[0].split(";")


def tensors_of(content: bytes, wanted: Sequence[str]) -> list[str]:
    """Names of the activations that the named layers compute.

    Args:
        content: A float .tflite that `convert` has named.
        wanted: Keras layer names.

    Raises:
        UserError: A layer is unknown.
    """
    model = flatbuffer.read(content)
    graph = model.subgraphs[0]
    by_layer: dict[str, list[str]] = {}
    for operator in graph.operators:
        name = graph.tensors[operator.outputs[0]].name.decode()
        for layer in layers(name):
            by_layer.setdefault(layer, []).append(name)
    for layer in wanted:
        if layer not in by_layer:
            raise unknown("layer", layer, list(by_layer), "leave_in_float takes names of Keras layers; model.summary()")
    return list(dict.fromkeys(name for layer in wanted for name in by_layer[layer]))


def float_layers(content: bytes) -> list[str]:
    """The layers that an int8 .tflite computes in float."""
    model = flatbuffer.read(content)
    graph = model.subgraphs[0]
    made = [
        graph.tensors[operator.outputs[0]]
        for operator in graph.operators
        if flatbuffer.operator_name(model, operator) != "DEQUANTIZE"
    ]
    names = [tensor.name.decode() for tensor in made if flatbuffer.type_name(tensor.type) == "float32"]
    return list(dict.fromkeys(layers(name)[0] for name in names))


def _layer(part: str, known: dict[str, int]) -> str | None:
    """The innermost layer of a TensorFlow name, whose scopes may be numbered ("stem_1" is the layer stem's)."""
    for scope in reversed(part.split("/")):
        for name in (scope, re.sub(r"_\d+$", "", scope)):
            name = name.removeprefix("quant_")
            if name in known:
                return name
    return None


def _order(keras_model: Any) -> dict[str, int]:
    names = _layer_names(keras_model) if keras_model is not None else ()
    return {name.removeprefix("quant_"): place for place, name in enumerate(names)}


def _layer_names(model: Any) -> Iterable[str]:
    for layer in model.layers:
        yield layer.name
        yield from _layer_names(layer) if hasattr(layer, "layers") else ()
