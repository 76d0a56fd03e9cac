"""What a network costs: parameters, multiply-adds and activation memory, layer by layer.

Multiply-adds as the papers count them: one image; convolutions, dense layers and matrix products; no biases, no batch
normalization, no activations. Depthwise separable against standard convolution: arXiv:1704.04861, section 3.1.
"""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import keras
from keras import layers

from keras_mobilenets.blocks.video.strip_convolution import StripDepthwiseConv3D
from keras_mobilenets.costs.multiply_adds import multiply_adds
from keras_mobilenets.errors import UserError, first_line
from keras_mobilenets.graphs.flat_model import Call, calls, flat_model, run


@dataclass(frozen=True)
class LayerCost:
    """The cost of one layer, or of one operation on tensors, in all its calls.

    Attributes:
        name: The layer's name.
        kind: Such as "Conv2D 3×3 /2" (kernel, strides) or "Add".
        output_shape: That of its first call, without the batch.
        parameters: Trainable parameters.
        macs: Multiply-adds of one image.
        standard_parameters: Parameters if the depthwise separable convolution that starts here (a depthwise
            convolution with the pointwise one behind it) were one standard convolution; elsewhere those it has.
        standard_macs: Its multiply-adds in that case.
        pointwise: Of a depthwise convolution, the name of the pointwise one that makes it a separable one.
        temporal: Of a depthwise convolution over space of a (2+1)-D one, the name of that over time.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    macs: int
    standard_parameters: int
    standard_macs: int
    pointwise: str | None = None
    temporal: str | None = None


@dataclass(frozen=True)
class Cost:
    """The cost of a model; `str()` of it is the table of its layers.

    Attributes:
        name: The model's name.
        layers: Cost of each layer, in order.
        peak_activations: Most activation values alive at once when layers run in order and batch normalization and
            activations work in place; times 4 bytes in float32, times 1 in int8.
        uncounted: Names of the layers and operations whose multiply-adds or output size are not known and left out.
    """

    name: str
    layers: tuple[LayerCost, ...]
    peak_activations: int
    uncounted: tuple[str, ...] = ()

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
        if self.uncounted:
            lines[0] += f"; not counted: {', '.join(self.uncounted)}"
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
        model: A Keras model of a fixed input size, on any Keras backend. Models inside it are counted layer by layer; a
            layer that is called twice costs its multiply-adds twice and its parameters once.

    Returns:
        The cost of every layer and of the whole.

    Raises:
        UserError: The input size is open, so that multiply-adds are not determined, or the model was never built.
    """
    flat = flat_model(model)
    if any(size is None for tensor in flat.inputs for size in tensor.shape[1:]):
        raise UserError(f"{model.name} takes images of any size: build it with input_shape=(height, width, 3)")
    flat = _of_one_image(flat)
    parts = calls(flat)
    costs: dict[str, LayerCost] = {}
    uncounted = []
    for part in parts:
        name, macs = part.layer.name, multiply_adds(part)
        is_open = any(None in tensor.shape[1:] for tensor in part.outputs)  # Keras cannot tell the size
        if (macs is None or is_open) and name not in uncounted:
            uncounted.append(name)
        before = costs.get(name) or LayerCost(name, _kind(part.layer), _shape(part), _parameters(part.layer), 0, 0, 0)
        macs = before.macs + (macs or 0)
        costs[name] = replace(before, macs=macs, standard_parameters=before.parameters, standard_macs=macs)
    for chain, pointwise in _separable_chains(parts):
        _put_standard(costs, chain, pointwise)
    return Cost(model.name, tuple(costs.values()), _peak_activations(flat, parts), tuple(uncounted))


def _of_one_image(model: keras.Model) -> keras.Model:
    """The model at batch size 1 where it has operations (these may move images into other axes) or another size."""
    if all(isinstance(part, layers.Layer) for part in model.operations) and model.inputs[0].shape[0] in (None, 1):
        return model
    inputs = [keras.Input(batch_shape=(1, *x.shape[1:]), dtype=x.dtype) for x in model.inputs]
    try:
        outputs = run(model, inputs)
    except Exception as error:  # the operations are of another batch size
        raise UserError(f"{model.name} does not take one image: {first_line(error)}") from error
    return keras.Model(inputs, outputs, name=model.name)


def _parameters(layer: Any) -> int:
    return sum(math.prod(weight.shape) for weight in getattr(layer, "trainable_weights", ()))


def _shape(call: Call) -> tuple[int, ...]:
    """The output's shape without the batch; of the first output when there are several."""
    return tuple(call.outputs[0].shape[1:])


def _positions(call: Call) -> int:
    return math.prod(_shape(call)[:-1])


def _kind(layer: Any) -> str:
    kind = type(layer).__name__
    if isinstance(layer, layers.Activation):
        return getattr(layer.activation, "__name__", kind)
    size = getattr(layer, "kernel_size", None)
    if size is None:
        return kind
    groups = f" in {layer.groups} groups" if getattr(layer, "groups", 1) > 1 else ""
    steps = layer.strides if len(set(layer.strides)) > 1 else layer.strides[:1]
    strides = f" /{'×'.join(map(str, steps))}" if max(steps) > 1 else ""
    return f"{kind} {'×'.join(map(str, size))}{strides}{groups}"


def _separable_chains(parts: list[Call]) -> Iterator[tuple[list[Call], Call]]:
    """Each depthwise convolution with the pointwise one it feeds: of the same image size, whatever lies between.

    One over space and the one over time behind it are a depthwise convolution together.
    """
    readers: dict[int, list[Call]] = {}
    for call in parts:
        for tensor in call.inputs:
            readers.setdefault(id(tensor), []).append(call)
    for depthwise in parts:
        if not isinstance(depthwise.layer, _DEPTHWISE) or depthwise.layer.kernel_size[-2:] == (1, 1):
            continue
        todo, seen, chain = [depthwise], set(), [depthwise]
        while todo:
            call, *todo = todo
            layer = call.layer
            if _is_temporal(layer) and chain[0].layer.kernel_size[0] == len(chain) == 1:
                chain.append(call)
            if id(call) in seen or _shape(call)[:-1] != _shape(chain[-1])[:-1]:  # squeeze-and-excite works on 1×1
                continue
            seen.add(id(call))
            if isinstance(layer, layers.Conv2D) and layer.kernel_size == (1, 1) and layer.groups == 1:
                yield chain, call
                break
            if isinstance(layer, (*_DEPTHWISE, layers.Add)) and call not in chain:  # the block has ended
                break
            todo += [reader for tensor in call.outputs for reader in readers.get(id(tensor), [])]


_DEPTHWISE = (layers.DepthwiseConv2D, StripDepthwiseConv3D)


def _is_temporal(layer: Any) -> bool:
    return isinstance(layer, StripDepthwiseConv3D) and layer.kernel_size[1:] == (1, 1)


def _put_standard(costs: dict[str, LayerCost], chain: list[Call], pointwise: Call) -> None:
    """Books the standard convolution on the first depthwise one; the others, and their BatchNorms but one, go."""
    channels, filters = _shape(chain[0])[-1], _shape(pointwise)[-1]
    weights = math.prod(math.prod(part.layer.kernel_size) for part in chain) * channels * filters
    (name, *temporal), other = [part.layer.name for part in chain], pointwise.layer.name
    before = costs[name].standard_macs if costs[name].pointwise else 0  # of an earlier call
    macs = before + _positions(chain[-1]) * weights
    costs[name] = replace(
        costs[name], standard_parameters=weights, standard_macs=macs, pointwise=other, temporal=(*temporal, None)[0]
    )
    for gone in (other, *temporal):
        costs[gone] = replace(costs[gone], standard_parameters=0, standard_macs=0)
    for norm in (f"{part}_bn" for part in (name, *temporal)):
        if norm in costs:
            costs[norm] = replace(costs[norm], standard_parameters=0)


def _peak_activations(model: keras.Model, parts: list[Call]) -> int:
    """Runs the layers in order, each output alive until its last reader has run."""
    in_place = layers.BatchNormalization | layers.ReLU | layers.Activation | layers.Dropout | layers.Reshape
    readers_left = Counter(id(tensor) for call in parts for tensor in call.inputs)
    alive = {id(tensor): _size(tensor) for tensor in model.inputs}
    peak = sum(alive.values())
    for call in parts:
        readers_left.subtract(id(tensor) for tensor in call.inputs)
        ends = [id(tensor) for tensor in call.inputs if readers_left[id(tensor)] == 0]
        if isinstance(call.layer, in_place):
            for source in ends:
                alive.pop(source, None)
        alive |= {id(tensor): _size(tensor) for tensor in call.outputs}
        peak = max(peak, sum(alive.values()))
        for source in ends:
            alive.pop(source, None)
    return peak


def _size(tensor: Any) -> int:
    return math.prod(length or 1 for length in tensor.shape[1:])
