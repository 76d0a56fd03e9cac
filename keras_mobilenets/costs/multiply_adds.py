"""Multiply-adds of one call of a Keras layer or operation, for one image.

As the papers count them: convolutions, dense layers and matrix products; no biases, no normalization, no activations.
"""

import inspect
import math
from collections.abc import Sequence
from functools import singledispatch
from typing import Any

import keras
from keras import layers

from keras_mobilenets.blocks.video.strip_convolution import StripConvolution
from keras_mobilenets.graphs.flat_model import Call, calls

# Keras layers with weights and without products of matrices. (A lookup in a table is none.)
_WITHOUT_PRODUCTS = (
    layers.BatchNormalization,
    layers.LayerNormalization,
    layers.GroupNormalization,
    layers.RMSNormalization,
    layers.Normalization,
    layers.PReLU,
    layers.Embedding,
)


def multiply_adds(call: Call) -> int | None:
    """Counts one call.

    Args:
        call: Of a layer or an operation. Its shapes are known, but for a batch of any size, which counts as one image.

    Returns:
        Its multiply-adds for one image; None where they cannot be told: a layer of an unknown class whose `call` cannot
        be followed, a length that is open, or an operation such as a Fourier transform.
    """
    if any(size is None for tensor in call.inputs for size in tensor.shape[1:]):
        return None
    return _layer(call.layer, call) if isinstance(call.layer, layers.Layer) else _operation(call)


@singledispatch
def _layer(layer: Any, call: Call) -> int | None:
    """A layer that is made of others, as people's own layers are, by following its `call`."""
    is_plain = type(layer).__module__.startswith("keras.src.") and not layer.weights  # pooling, reshapes, activations
    if isinstance(layer, _WITHOUT_PRODUCTS) or (is_plain and not isinstance(layer, layers.Lambda)):
        return 0
    try:
        inside = _followed(layer, call)
    except Exception:  # whatever its own code makes of a symbolic tensor
        return None
    counts = [multiply_adds(part) for part in inside]
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _followed(layer: Any, call: Call) -> list[Call]:
    inputs = [keras.Input(batch_shape=_shape(x), dtype=x.dtype) for x in call.inputs]
    new = {id(old): tensor for old, tensor in zip(call.inputs, inputs, strict=True)}
    args, kwargs = keras.tree.map_structure(lambda x: new.get(id(x), x), (tuple(call.args), dict(call.kwargs)))
    outputs = [x for x in keras.tree.flatten(layer.call(*args, **kwargs)) if keras.backend.is_keras_tensor(x)]
    return calls(keras.Model(inputs, outputs))


@_layer.register(layers.Conv1D)
@_layer.register(layers.Conv2D)
@_layer.register(layers.Conv3D)
@_layer.register(layers.DepthwiseConv1D)
@_layer.register(layers.DepthwiseConv2D)
@_layer.register(StripConvolution)
def _(layer: Any, call: Call) -> int:
    return _positions(layer, _shape(call.outputs[0])) * math.prod(layer.kernel.shape)


@_layer.register(layers.Conv1DTranspose)
@_layer.register(layers.Conv2DTranspose)
@_layer.register(layers.Conv3DTranspose)
def _(layer: Any, call: Call) -> int:
    return _positions(layer, _shape(call.inputs[0])) * math.prod(layer.kernel.shape)


@_layer.register(layers.SeparableConv1D)
@_layer.register(layers.SeparableConv2D)
def _(layer: Any, call: Call) -> int:
    weights = math.prod(layer.depthwise_kernel.shape) + math.prod(layer.pointwise_kernel.shape)
    return _positions(layer, _shape(call.outputs[0])) * weights


@_layer.register
def _(layer: layers.Dense, call: Call) -> int:
    return math.prod(_shape(call.outputs[0])) * layer.kernel.shape[0]


@_layer.register
def _(layer: layers.EinsumDense, call: Call) -> int:
    return _einsum(layer.equation, [_shape(call.inputs[0]), tuple(layer.kernel.shape)])


@_layer.register
def _(layer: layers.Dot, call: Call) -> int:
    axis = layer.axes if isinstance(layer.axes, int) else layer.axes[0]
    return math.prod(_shape(call.outputs[0])) * _shape(call.inputs[0])[axis]


@_layer.register
def _(layer: layers.MultiHeadAttention, call: Call) -> int:
    """The four projections, and the two products of every query with every key."""
    query, value, key = _attended(layer, call)
    projections = ((query, "query"), (key, "key"), (value, "value"), (query, "output"))
    dense = sum(math.prod(x[:-1]) * math.prod(getattr(layer, f"{of}_dense").kernel.shape) for x, of in projections)
    axes = layer.attention_axes or range(1, len(query) - 1)
    keys = math.prod(value[axis] for axis in axes)  # that each query meets
    return dense + math.prod(query[:-1]) * keys * layer.num_heads * (layer.key_dim + layer.value_dim)


@_layer.register
def _(layer: layers.GroupQueryAttention, call: Call) -> int:
    query, value, key = _attended(layer, call)
    projections = ((query, "query"), (key, "key"), (value, "value"), (query, "output"), (query, "gate"))
    parts = [(x, getattr(layer, f"_{of}_dense", None)) for x, of in projections]
    dense = sum(math.prod(x[:-1]) * math.prod(part.kernel.shape) for x, part in parts if part is not None)
    return dense + 2 * query[1] * value[1] * layer.num_query_heads * layer.head_dim


@_layer.register(layers.Attention)
@_layer.register(layers.AdditiveAttention)
def _(layer: Any, call: Call) -> int:
    """The products of every query with every key and value; those of the additive kind with its one vector."""
    query, value, *_ = map(_shape, call.inputs)
    return math.prod(query[:-1]) * value[-2] * (query[-1] + value[-1])


def _attended(layer: Any, call: Call) -> list[tuple[int, ...]]:
    """The shapes of query, value and key, which is the value where it is not given."""
    given = inspect.signature(type(layer).call).bind(layer, *call.args, **call.kwargs).arguments
    value = given["value"]
    return [_shape(given["query"]), _shape(value), _shape(value if given.get("key") is None else given["key"])]


@_layer.register
def _(layer: layers.RNN, call: Call) -> int | None:
    """The two kernels of a cell at every step; those of a convolutional cell also at every position of its state."""
    cells = getattr(layer.cell, "cells", [layer.cell])
    if not all(isinstance(getattr(cell, "recurrent_kernel", None), keras.Variable) for cell in cells):
        return None
    weights = sum(math.prod(cell.kernel.shape) + math.prod(cell.recurrent_kernel.shape) for cell in cells)
    state = call.outputs[0].shape[2 if layer.return_sequences else 1 :]
    return call.inputs[0].shape[1] * _positions(layer, (1, *state)) * weights


@_layer.register
def _(layer: layers.Bidirectional, call: Call) -> int | None:
    forward, backward = (_layer(part, call) for part in (layer.forward_layer, layer.backward_layer))
    return None if forward is None or backward is None else forward + backward


@_layer.register
def _(layer: layers.TimeDistributed, call: Call) -> int | None:
    step = keras.Input(batch_shape=(1, *call.inputs[0].shape[2:]), dtype=call.inputs[0].dtype)
    one = _layer(layer.layer, Call(layer.layer, [step], keras.tree.flatten(layer.layer(step)), (step,), {}))
    return None if one is None else call.inputs[0].shape[1] * one


def _operation(call: Call) -> int | None:
    """An operation of `keras.ops`; elementwise ones are not counted, as activations are not."""
    operation, kind = call.layer, type(call.layer).__name__
    shapes = [tuple(x.shape) for x in keras.tree.flatten((call.args, call.kwargs)) if hasattr(x, "shape")]
    given = [(shape[0] or 1, *shape[1:]) if shape else () for shape in shapes]
    output = _shape(call.outputs[0])
    if kind == "Matmul":
        return math.prod(output) * given[0][-1]
    if kind == "Einsum":
        return _einsum(operation.subscripts, given)
    if kind in ("Dot", "Inner", "Tensordot", "Vdot"):  # output times the square of what is summed over
        return math.prod(output) * math.isqrt(math.prod(given[0]) * math.prod(given[1]) // math.prod(output))
    if kind in ("Conv", "DepthwiseConv"):
        return _positions(operation, output) * math.prod(given[1])
    if kind == "ConvTranspose":
        return _positions(operation, given[0]) * math.prod(given[1])
    if kind == "SeparableConv":
        return _positions(operation, output) * (math.prod(given[1]) + math.prod(given[2]))
    if kind == "DotProductAttention":  # batch × queries × heads × size and batch × keys × heads × size
        return 2 * math.prod(given[0]) * given[1][1]
    return None if type(operation).__module__.endswith(".linalg") or "FFT" in kind or "STFT" in kind else 0


def _einsum(equation: str, shapes: Sequence[tuple[int, ...]]) -> int:
    """The product of the lengths of all axes; one operand alone is only moved or summed."""
    if len(shapes) < 2:
        return 0
    lengths: dict[str, int] = {}
    broadcast = 1
    for term, shape in zip(equation.replace(" ", "").split("->")[0].split(","), shapes, strict=True):
        before, dots, after = term.partition("...")
        end = len(shape) - len(after)
        lengths |= dict(zip(before, shape, strict=not dots)) | dict(zip(after, shape[end:], strict=True))
        broadcast = max(broadcast, math.prod(shape[len(before) : end]) if dots else 1)
    return broadcast * math.prod(lengths.values())


def _shape(tensor: Any) -> tuple[int, ...]:
    """A tensor's shape, of one image."""
    return (tensor.shape[0] or 1, *tensor.shape[1:]) if tensor.shape else ()


def _positions(layer: Any, shape: tuple[int, ...]) -> int:
    """The positions of a tensor, without its channels."""
    first = getattr(layer, "data_format", "channels_last") == "channels_first"
    return math.prod(shape) // shape[1 if first else -1]
