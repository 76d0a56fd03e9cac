"""Convolutions in groups, in the form that a target computes rightly and fast.

CONV_2D convolves in groups where its filters have fewer channels than its input. Neighbouring groups may be joined into
one whose filters are zero where a channel is not their own: the results are the same numbers, for more multiply-adds.

A depthwise convolution may have several filters for each channel. Where a target does not take that, each channel is
put several times side by side before it: the same weights and results.
"""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.targets.operator_forms import Forms

_STORED = tuple(getattr(schema.TensorType, name) for name in ("INT8", "FLOAT16", "FLOAT32"))


def fit_groups(graph: flatbuffer.Graph, forms: Forms) -> None:
    """Gives the convolutions in groups of a .tflite the form that a target wants.

    Args:
        graph: Of a .tflite, float or quantized. Sparse weights stay as they are.
        forms: The target's row of `FORMS`.
    """
    grouped = [operator for operator in graph.operators if _groups(graph, operator) > 1]
    for operator in grouped:
        _join(graph, operator, forms)
    for operator in list(graph.operators) if forms.repeats_channels else ():
        _repeat(graph, operator)
    if grouped and forms.conv_version:
        code = graph.model.operatorCodes[grouped[0].opcodeIndex]
        code.version = min(int(code.version), forms.conv_version)


def _groups(graph: flatbuffer.Graph, operator: Any) -> int:
    """The number of groups of a convolution; 1 of any other operator."""
    if graph.name(operator) != "CONV_2D":
        return 1
    channels, share = (graph.shape(int(tensor))[-1] for tensor in operator.inputs[:2])
    return channels // share


def _join(graph: flatbuffer.Graph, operator: Any, forms: Forms) -> None:
    """Joins as many groups as the target asks for."""
    groups, read = _groups(graph, operator), int(operator.inputs[1])
    filters, height, width, share = graph.shape(read)
    tensor = _stored(graph, read)
    if tensor is None:
        return
    stored = graph.tensors[tensor]
    most = forms.group_channels if stored.type == schema.TensorType.INT8 else 1
    times = joined_groups(groups, share, filters // groups, forms.group_multiple, most)
    if times == 1:
        return
    kernel = graph.constant(tensor).reshape(groups // times, times, filters // groups, height, width, share)
    wide = np.zeros((*kernel.shape[:5], times, share), kernel.dtype)
    for place in range(times):
        wide[:, place, :, :, :, place] = kernel[:, place]
    values = wide.reshape(filters, height, width, times * share)
    if len(graph.readers(tensor)) > 1:
        tensor = graph.add_tensor("joined", values.shape, stored.type, stored.quantization, values)
        operator.inputs = np.array([operator.inputs[0], tensor, *operator.inputs[2:]], np.int32)
    else:
        graph.replace_constant(tensor, values)
        graph.tensors[read].shape = np.array(values.shape, np.int32)


def _repeat(graph: flatbuffer.Graph, operator: Any) -> None:
    """Repeats the channels before a depthwise convolution of several filters for each."""
    if graph.name(operator) != "DEPTHWISE_CONV_2D":
        return
    x, filters = int(operator.inputs[0]), graph.shape(int(operator.inputs[1]))[-1]
    batch, height, width, channels = graph.shape(x)
    times = filters // channels
    if times == 1 or channels == 1:
        return
    stored = graph.tensors[x]
    version = 2 if stored.type == schema.TensorType.INT8 else 1
    column, repeated = (batch, height * width, channels, 1), (batch, height * width, channels, times)
    for name, shape in (("RESHAPE", column), ("CONCATENATION", repeated), ("RESHAPE", (batch, height, width, filters))):
        given = graph.add_tensor("repeated", shape, stored.type, stored.quantization)
        place = graph.place(operator)
        if name == "RESHAPE":
            sizes = graph.add_tensor("shape", (len(shape),), schema.TensorType.INT32, None, np.array(shape, np.int32))
            graph.insert(name, [x, sizes], given, place)
        else:
            graph.insert(name, [x] * times, given, place, version).builtinOptions.axis = 3
        x = given
    operator.inputs = np.array([x, *operator.inputs[1:]], np.int32)
    operator.builtinOptions.depthMultiplier = 1


def _stored(graph: flatbuffer.Graph, kernel: int) -> int | None:
    """The constant that a kernel is, or is made of by DEQUANTIZE (float16); None for any other."""
    maker = next((operator for operator in graph.operators if kernel in operator.outputs), None)
    if maker is not None and graph.name(maker) == "DEQUANTIZE" and len(graph.readers(kernel)) == 1:
        kernel = int(maker.inputs[0])
        if len(graph.readers(kernel)) > 1:
            return None
    stored = graph.tensors[kernel]
    if stored.type not in _STORED or stored.sparsity is not None or not flatbuffer.is_constant(graph.model, stored):
        return None
    return kernel


def joined_groups(groups: int, inputs: int, filters: int, multiple: int = 1, most: int = 1) -> int:
    """How many neighbouring groups become one.

    Args:
        groups: Their number.
        inputs: Input channels of each.
        filters: Output channels of each.
        multiple: What both are to be a multiple of; convolutions of one channel a group, depthwise ones, stay.
        most: Up to how many channels groups are joined further.

    Returns:
        A divisor of `groups`: the largest that keeps within `most`, else the smallest; all of them where no multiple
        of theirs would do.
    """
    if inputs == filters == 1:
        return 1
    divisors = [times for times in range(1, groups + 1) if groups % times == 0]
    fitting = [t for t in divisors if t * inputs % multiple == 0 and t * filters % multiple == 0] or [groups]
    within = [times for times in fitting if times * max(inputs, filters) <= most]
    return within[-1] if within else fitting[0]
