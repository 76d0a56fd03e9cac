"""A model without models inside it: the one list of layer calls that every analysis of a graph starts from.

Transfer learning makes a backbone and a head a model of two layers; one backbone may stand in it twice.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras

from keras_mobilenets.errors import UserError, first_line


class Call(NamedTuple):
    """One place of a layer (or of a Keras operation such as `x + 3`) in a model.

    Attributes:
        layer: What is called; a layer that is used twice stands in two calls.
        inputs: Keras tensors that it reads.
        outputs: Keras tensors that it gives.
    """

    layer: Any
    inputs: list[Any]
    outputs: list[Any]


def calls(model: keras.Model) -> list[Call]:
    """The calls of a functional model in the order of its graph, inputs left out.

    `layer.output` is the layer's first call anywhere; these are the calls of this model.
    """
    nodes = {id(node) for level in model._nodes_by_depth.values() for node in level}
    found = []
    for operation in model.operations:
        if isinstance(operation, keras.layers.InputLayer):
            continue
        for node in operation._inbound_nodes:
            if id(node) in nodes:
                found.append(Call(operation, list(node.input_tensors), list(node.output_tensors)))
    places = {id(tensor): 0 for tensor in model.inputs}
    ordered: list[Call] = []
    while found:  # a layer's second call may come far behind its first
        ready = [call for call in found if all(id(tensor) in places for tensor in call.inputs)]
        ordered += ready
        places |= {id(tensor): 0 for call in ready for tensor in call.outputs}
        found = [call for call in found if not any(call is other for other in ready)]
    return ordered


def flat_model(model: Any) -> keras.Model:
    """The same network with the layers of the models inside it in their place.

    Args:
        model: Functional or Sequential Keras 3 model; Functional and Sequential models inside it, at any depth, also
            one that is called twice. A subclassed model that was built: its `call` is followed.

    Returns:
        A functional model of the same layers, which share their weights; the model itself where it is one already. Two
        layers of one name become copies named after the models that they are in: `left_stem`, `right_stem`.

    Raises:
        UserError: The model was never built, or is a subclassed one whose `call` does more than call layers.
    """
    if not isinstance(model, keras.Model):
        raise UserError(f"a Keras 3 model is needed, not {type(model).__module__}.{type(model).__name__}")
    if not model.built:
        raise UserError(
            f"{model.name} is not built: call it once on images, or begin it with keras.Input((height, width, 3))"
        )
    if not _is_graph(model):
        model = _functional(model)
    if isinstance(model, keras.Sequential):
        model = keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    if not any(_is_graph(layer) for layer in model.layers):
        return model
    inputs = [keras.Input(batch_shape=x.shape, dtype=x.dtype, name=x.name) for x in model.inputs]
    flat = keras.Model(_as(model.input, inputs), _Places(model).run(model, inputs), name=model.name)
    for name in ("variant", "adapted"):
        if hasattr(model, name):
            setattr(flat, name, getattr(model, name))
    return flat


def _is_graph(layer: Any) -> bool:
    sequential = isinstance(layer, keras.Sequential) and layer.built
    return sequential or (isinstance(layer, keras.Model) and hasattr(layer, "operations"))


def _functional(model: keras.Model) -> keras.Model:
    """A subclassed model as a functional one of the same layers, by following its `call`."""
    shape = (model.get_build_config() or {}).get("input_shape") or ()
    says = f"{model.name} is a subclassed model ({type(model).__name__}) whose graph cannot be seen"
    try:
        image = keras.Input(tuple(shape[1:]))
        return keras.Model(image, model.call(image), name=model.name)
    except Exception as error:  # whatever its own code makes of a symbolic tensor
        raise UserError(f"{says}: {first_line(error)}; build it from layers by keras.Model(inputs, outputs)") from error


def _as(structure: Any, tensors: list[Any]) -> Any:
    return keras.tree.pack_sequence_as(structure, tensors)


class _Places:
    """Calls the layers of a model again, each under a name that no other has."""

    def __init__(self, model: keras.Model):
        self._names: dict[int, str] = {}
        found = {id(layer): (layer, path) for layer, path in _leaves(model, "")}
        count = Counter(layer.name for layer, _ in found.values())
        for key, (layer, path) in found.items():
            if count[layer.name] > 1 and path:
                self._names[key] = f"{path}_{layer.name}"
        self._copies: dict[int, Any] = {}

    def run(self, model: keras.Model, inputs: list[Any]) -> Any:
        """The outputs of a model on other inputs, in the structure that its outputs have."""
        graph = model._functional if isinstance(model, keras.Sequential) else model
        return graph._run_through_graph(_as(graph.input, inputs), lambda layer: layer, self._call)

    def _call(self, layer: Any, *args: Any, **kwargs: Any) -> Any:
        if _is_graph(layer):
            return self.run(layer, keras.tree.flatten(args))
        name = self._names.get(id(layer))
        if name is None:
            return layer(*args, **kwargs)
        copy = self._copies.get(id(layer))
        if copy is None:
            copy = self._copies[id(layer)] = type(layer).from_config(layer.get_config() | {"name": name})
            outputs = copy(*args, **kwargs)
            copy.set_weights(layer.get_weights())
            copy.trainable = layer.trainable
            return outputs
        return copy(*args, **kwargs)


def _leaves(model: keras.Model, path: str) -> Iterator[tuple[Any, str]]:
    for layer in model.layers:
        if _is_graph(layer):
            yield from _leaves(layer, f"{path}_{layer.name}" if path else layer.name)
        elif not isinstance(layer, keras.layers.InputLayer):
            yield layer, path
