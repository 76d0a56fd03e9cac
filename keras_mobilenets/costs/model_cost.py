"""What a network costs: parameters, multiply-adds and activation memory, layer by layer.

Multiply-adds as the papers count them: one image; convolutions, dense layers and matrix products; no biases, no batch
normalization, no activations. Depthwise separable against standard convolution: arXiv:1704.04861, section 3.1.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Any

import keras
from keras import layers

from keras_mobilenets.errors import UserError


@dataclass(frozen=True)
class LayerCost:
    """The cost of one layer.

    Attributes:
        name: The layer's name.
        kind: Such as "Conv2D 3×3 /2" (kernel, strides) or "Add".
        output_shape: Without the batch.
        parameters: Trainable parameters.
        macs: Multiply-adds of one image.
        standard_parameters: Parameters if the depthwise separable convolution that starts here (a depthwise
            convolution with the pointwise one behind it) were one standard convolution; elsewhere those it has.
        standard_macs: Its multiply-adds in that case.
        pointwise: Of a depthwise convolution, the name of the pointwise one that makes it a separable one.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    macs: int
    standard_parameters: int
    standard_macs: int
    pointwise: str | None = None


@dataclass(frozen=True)
class Cost:
    """The cost of a model; `str()` of it is the table of its layers.

    Attributes:
        name: The model's name.
        layers: Cost of each layer, in order.
        peak_activations: Most activation values alive at once when layers run in order and batch normalization and
            activations work in place; times 4 bytes in float32, times 1 in int8.
    """

    name: str
    layers: tuple[LayerCost, ...]
    peak_activations: int

    @property
    def parameters(self) -> int:
        """Trainable parameters."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-adds of one inference (one image)."""
        return sum(layer.macs for layer in self.layers)

    @property
    def standard_parameters(self) -> int:
        """Parameters with a standard convolution in place of every depthwise separable one."""
        return sum(layer.standard_parameters for layer in self.layers)

    @property
    def standard_macs(self) -> int:
        """Multiply-adds with a standard convolution in place of every depthwise separable one."""
        return sum(layer.standard_macs for layer in self.layers)

    def summary(self) -> str:
        """The totals, and what standard convolutions would cost, in a few lines."""
        lines = [
            f"{self.name}: {self.parameters:,} trainable parameters, {self.macs / 1e6:,.1f} M multiply-adds, "
            f"at most {self.peak_activations:,} activation values at once"
        ]
        if self.standard_macs != self.macs:
            lines.append(
                f"with standard convolutions instead of depthwise separable ones: {self.standard_parameters:,} "
                f"parameters (×{self.standard_parameters / self.parameters:.1f}), "
                f"{self.standard_macs / 1e6:,.1f} M multiply-adds (×{self.standard_macs / self.macs:.1f})"
            )
        return "\n".join(lines)

    def __str__(self) -> str:
        rows = [("layer", "kind", "output", "parameters", "multiply-adds")]
        rows += [
            (
                layer.name,
                layer.kind,
                "×".join(map(str, layer.output_shape)),
                f"{layer.parameters:,}" if layer.parameters else "",
                f"{layer.macs:,}" if layer.macs else "",
            )
            for layer in self.layers
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        lines = [
            "  ".join(
                cell.rjust(width) if column > 2 else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        lines.insert(1, "  ".join("─" * width for width in widths))
        return "\n".join([*lines, "", self.summary()])


def cost(model: keras.Model) -> Cost:
    """Counts what a model costs.

    Args:
        model: A functional or sequential Keras model of a fixed input size, on any Keras backend.

    Returns:
        The cost of every layer and of the whole.

    Raises:
        UserError: The input size is open, so that multiply-adds are not determined.
    """
    if not getattr(model, "inputs", None):
        raise UserError(f"{model.name} has no fixed input: build it, or call it once, before asking for its cost")
    if any(size is None for tensor in model.inputs for size in tensor.shape[1:]):
        raise UserError(f"{model.name} takes images of any size: build it with input_shape=(height, width, 3)")
    costs = {}
    parts = [layer for layer in _flat(model) if not isinstance(layer, layers.InputLayer)]
    for layer in parts:
        parameters, macs = _parameters(layer), multiply_adds(layer)
        costs[layer.name] = LayerCost(layer.name, _kind(layer), _shape(layer), parameters, macs, parameters, macs)
    for depthwise, pointwise in _separable_pairs(parts):
        _put_standard(costs, depthwise, pointwise)
    return Cost(model.name, tuple(costs.values()), _peak_activations(model, parts))


@singledispatch
def multiply_adds(layer: Any) -> int:
    """Multiply-adds of a layer for one image; 0 for a layer that is not counted."""
    return 0


@multiply_adds.register
def _(layer: layers.Conv2D) -> int:
    *_, channels_in, filters = layer.kernel.shape  # channels_in is of one group
    return _positions(layer) * math.prod(layer.kernel_size) * channels_in * filters


@multiply_adds.register
def _(layer: layers.DepthwiseConv2D) -> int:
    return _positions(layer) * math.prod(layer.kernel_size) * _shape(layer)[-1]


@multiply_adds.register
def _(layer: layers.SeparableConv2D) -> int:
    *_, channels, filters = layer.pointwise_kernel.shape
    return _positions(layer) * (math.prod(layer.kernel_size) * channels + channels * filters)


@multiply_adds.register
def _(layer: layers.Dense) -> int:
    return math.prod(_shape(layer)) * layer.kernel.shape[0]


@multiply_adds.register
def _(layer: layers.Dot) -> int:
    axis = layer.axes if isinstance(layer.axes, int) else layer.axes[0]
    return math.prod(_shape(layer)) * layer.input[0].shape[axis]


@multiply_adds.register
def _(layer: layers.MultiHeadAttention) -> int:
    """The four projections, and the two products of every query with every key and value."""
    query, value = (shape[1] for shape in (layer._query_shape, layer._value_shape))
    scores = query * value * layer.num_heads
    dense = (layer.query_dense, layer.key_dense, layer.value_dense, layer.output_dense)
    rows = (query, value, value, query)
    projections = sum(n * math.prod(part.kernel.shape) for n, part in zip(rows, dense, strict=True))
    return projections + scores * (layer.key_dim + (layer.value_dim or layer.key_dim))


def _flat(model: keras.Model) -> Iterator[Any]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _flat(layer)
        else:
            yield layer


def _parameters(layer: Any) -> int:
    return sum(math.prod(weight.shape) for weight in layer.trainable_weights)


def _shape(layer: Any) -> tuple[int, ...]:
    """The output's shape without the batch; of the first output when there are several."""
    return tuple(keras.tree.flatten(layer.output)[0].shape[1:])


def _positions(layer: Any) -> int:
    return math.prod(_shape(layer)[:-1])


def _kind(layer: Any) -> str:
    kind = type(layer).__name__
    if isinstance(layer, layers.Activation):
        return getattr(layer.activation, "__name__", kind)
    size = getattr(layer, "kernel_size", None)
    if size is None:
        return kind
    groups = f" in {layer.groups} groups" if getattr(layer, "groups", 1) > 1 else ""
    return f"{kind} {'×'.join(map(str, size))}{f' /{layer.strides[0]}' if max(layer.strides) > 1 else ''}{groups}"


def _sources(layer: Any) -> list[int]:
    """Identities of the tensors a layer reads."""
    return [id(tensor) for tensor in keras.tree.flatten(layer.input)]


def _consumers(parts: list[Any]) -> Callable[[Any], list[Any]]:
    readers: dict[int, list[Any]] = {}
    for layer in parts:
        for source in _sources(layer):
            readers.setdefault(source, []).append(layer)
    return lambda layer: [r for tensor in keras.tree.flatten(layer.output) for r in readers.get(id(tensor), [])]


def _separable_pairs(parts: list[Any]) -> Iterator[tuple[Any, Any]]:
    """Each depthwise convolution with the pointwise one it feeds: of the same image size, whatever lies between."""
    consumers = _consumers(parts)
    for depthwise in parts:
        if not isinstance(depthwise, layers.DepthwiseConv2D) or depthwise.kernel_size == (1, 1):
            continue
        todo, seen = consumers(depthwise), set()
        while todo:
            layer = todo.pop(0)
            if id(layer) in seen:
                continue
            seen.add(id(layer))
            if _shape(layer)[:-1] != _shape(depthwise)[:-1]:  # squeeze-and-excite works on 1×1
                continue
            if isinstance(layer, layers.Conv2D) and layer.kernel_size == (1, 1) and layer.groups == 1:
                yield depthwise, layer
                break
            if isinstance(layer, layers.DepthwiseConv2D | layers.Add):  # the block has ended
                break
            todo += consumers(layer)


def _put_standard(costs: dict[str, LayerCost], depthwise: Any, pointwise: Any) -> None:
    """Books the standard convolution on the depthwise one; the pointwise one, and one BatchNorm, go."""
    channels, filters, kernel = _shape(depthwise)[-1], _shape(pointwise)[-1], math.prod(depthwise.kernel_size)
    weights = kernel * channels * filters
    costs[depthwise.name] = replace(
        costs[depthwise.name],
        standard_parameters=weights,
        standard_macs=_positions(depthwise) * weights,
        pointwise=pointwise.name,
    )
    costs[pointwise.name] = replace(costs[pointwise.name], standard_parameters=0, standard_macs=0)
    norm = f"{depthwise.name}_bn"
    if norm in costs:
        costs[norm] = replace(costs[norm], standard_parameters=0)


def _peak_activations(model: keras.Model, parts: list[Any]) -> int:
    """Runs the layers in order, each output alive until its last reader has run."""
    in_place = layers.BatchNormalization | layers.ReLU | layers.Activation | layers.Dropout | layers.Reshape
    readers_left: dict[int, int] = {}
    for layer in parts:
        for source in _sources(layer):
            readers_left[source] = readers_left.get(source, 0) + 1
    alive = {id(tensor): math.prod(tensor.shape[1:]) for tensor in model.inputs}
    peak = sum(alive.values())
    for layer in parts:
        for source in _sources(layer):
            readers_left[source] -= 1
        ends = [source for source in _sources(layer) if readers_left[source] == 0]
        if isinstance(layer, in_place):
            for source in ends:
                alive.pop(source, None)
        for tensor in keras.tree.flatten(layer.output):
            alive[id(tensor)] = math.prod(tensor.shape[1:])
        peak = max(peak, sum(alive.values()))
        for source in ends:
            alive.pop(source, None)
    return peak
