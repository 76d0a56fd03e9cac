"""A model without models inside it: the one list of layer calls that every analysis of a graph starts from.

Transfer learning makes a backbone and a head a model of two layers; one backbone may stand in it twice.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import keras

from keras_mobilenets.errors import UserError, first_line


class Call(NamedTuple):
    """One place of a layer (or of a Keras operation such as `x + 3`) in a model.

    Attributes:
        layer: What is called; a layer that is used twice stands in two calls.
        inputs: Keras tensors that it reads.
        outputs: Keras tensors that it gives.
        args: What it is called with, the tensors among them.
        kwargs: The same by name.
    """

    layer: Any
    inputs: list[Any]
    outputs: list[Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def calls(model: keras.Model) -> list[Call]:
    """The calls of a functional model in the order of its graph, inputs left out.

    `layer.output` is the layer's first call anywhere; these are the calls of this model.
    """
    place = {id(operation): index for index, operation in enumerate(model.operations)}
    found = []
    for _, level in sorted(model._nodes_by_depth.items(), reverse=True):
        for node in sorted((n for n in level if not n.is_input), key=lambda n: place[id(n.operation)]):
            given = node.arguments
            tensors = list(node.input_tensors), list(node.output_tensors)
            found.append(Call(node.operation, *tensors, given.args, given.kwargs))
    return found


def flat_model(model: Any) -> keras.Model:
    """The same network with the layers of the models inside it in their place.

    Args:
        model: Functional or Sequential Keras 3 model; Functional and Sequential models inside it, at any depth, also
            one that is called twice. A subclassed model that was built: its `call` is followed.

    Returns:
        A functional model of the same layers, which share their weights; the model itself where it is one already. Two
        layers of one name become copies named after the models that they are in: `left_stem`, `right_stem`. A
        subclassed model inside it whose `call` cannot be followed stays one layer.

    Raises:
        UserError: The model was never built, or is a subclassed one whose `call` does more than call layers.
    """
    if not isinstance(model, keras.Model):
        raise UserError(f"a Keras 3 model is needed, not {type(model).__module__}.{type(model).__name__}")
    if not model.built:
        raise UserError(
            f"{model.name} is not built: call it once on images, or begin it with keras.Input((height, width, 3))"
        )
    if isinstance(model, keras.Sequential):
        inner = keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    else:
        inner = model if _is_graph(model) else _functional(model)
    if any(isinstance(layer, keras.Model) for layer in inner.layers):
        inputs = [keras.Input(batch_shape=x.shape, dtype=x.dtype, name=x.name) for x in inner.inputs]
        inner = keras.Model(_as(inner.input, inputs), run(inner, inputs, _Places(inner).call), name=model.name)
    for name in ("variant", "adapted"):
        if hasattr(model, name):
            setattr(inner, name, getattr(model, name))
    return inner


def _plain_call(layer: Any, *args: Any, **kwargs: Any) -> Any:
    return layer(*args, **kwargs)


def run(model: keras.Model, inputs: Sequence[Any], call: Callable[..., Any] = _plain_call) -> Any:
    """Goes through a model's graph on other inputs.

    Args:
        model: Functional or Sequential model.
        inputs: A tensor for each of its inputs.
        call: Calls a layer (or operation), given it and what the graph gives it.

    Returns:
        The outputs, in the structure that the model's have.
    """
    graph = model._functional if isinstance(model, keras.Sequential) else model
    return graph._run_through_graph(_as(graph.input, inputs), lambda layer: layer, call)


def _is_graph(model: Any) -> bool:
    """Whether a model computes what its graph says: none of a class with a `call` of its own."""
    known = hasattr(model, "operations") or isinstance(model, keras.Sequential)
    return known and model.built and type(model).call.__module__.startswith("keras.src.")


def _functional(model: keras.Model) -> keras.Model:
    """A subclassed model as a functional one of the same layers, by following its `call`."""
    says = f"{model.name} is a subclassed model ({type(model).__name__}) whose graph cannot be seen"
    try:
        if hasattr(model, "operations"):
            inputs = keras.tree.map_structure(lambda x: keras.Input(batch_shape=x.shape, dtype=x.dtype), model.input)
        else:
            inputs = keras.Input(tuple(model.get_build_config()["input_shape"][1:]))
        return keras.Model(inputs, model.call(inputs), name=model.name)
    except Exception as error:  # whatever its own code makes of a symbolic tensor
        raise UserError(f"{says}: {first_line(error)}; build it from layers by keras.Model(inputs, outputs)") from error


def _as(structure: Any, tensors: Sequence[Any]) -> Any:
    return keras.tree.pack_sequence_as(structure, tensors)


class _Places:
    """Calls the layers of a model again, each under a name that no other has."""

    def __init__(self, model: keras.Model):
        self._graphs: dict[int, keras.Model] = {}
        found = {id(layer): (layer, path) for layer, path in self._leaves(model, "")}
        count = Counter(layer.name for layer, _ in found.values())
        self._names: dict[int, str] = {}
        for key, (layer, path) in found.items():
            if count[layer.name] > 1 and path:
                name = f"{path}_{layer.name}"
                while name in count:
                    name += "_"
                self._names[key] = name
                count[name] += 1
        self._copies: dict[int, Any] = {}

    def call(self, layer: Any, *args: Any, **kwargs: Any) -> Any:
        """Calls a layer, or those of a model. (Keras 3 cannot keep `training=False` of a call in a flat model.)"""
        graph = self._graphs.get(id(layer))
        if graph is not None:
            kwargs = {key: value for key, value in kwargs.items() if key not in ("training", "mask")}
            return run(graph, keras.tree.flatten(args or tuple(kwargs.values())), self.call)
        name = self._names.get(id(layer))
        if name is None:
            return layer(*args, **kwargs)
        copy = self._copies.get(id(layer))
        if copy is not None:
            return copy(*args, **kwargs)
        copy = self._copies[id(layer)] = type(layer).from_config(layer.get_config() | {"name": name})
        outputs = copy(*args, **kwargs)
        copy.set_weights(layer.get_weights())
        copy.trainable = layer.trainable
        return outputs

    def _leaves(self, model: keras.Model, path: str) -> Iterator[tuple[Any, str]]:
        for layer in model.layers:
            if isinstance(layer, keras.Model) and id(layer) not in self._graphs:
                with contextlib.suppress(UserError):  # a subclassed one that cannot be followed stays as it is
                    self._graphs[id(layer)] = layer if _is_graph(layer) else _functional(layer)
            graph = self._graphs.get(id(layer))
            if graph is not None:
                yield from self._leaves(graph, f"{path}_{layer.name}" if path else layer.name)
            elif not isinstance(layer, keras.layers.InputLayer):
                yield layer, path
