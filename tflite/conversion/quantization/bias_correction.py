"""Bias correction of an int8 .tflite: Nagel et al. 2019, arXiv:1906.04721, section 4.2.

Rounded weights are off by a little, and what they are off by times the mean of what they read is a constant error of
every output of a channel. It is subtracted from the layer's bias. The means are measured on images, place by place,
so that the padding of small maps counts as it is.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.graph.weights import WeightedGraph
from keras_mobilenets.tflite.runtime.activations import Activations


def correct_biases(floats: bytes, quantized: bytes, samples: Sequence[np.ndarray]) -> bytes:
    """Moves the biases of int8 layers such that rounding their weights shifts no channel's mean.

    Args:
        floats: The float32 .tflite that was quantized.
        quantized: The int8 .tflite, not yet rewritten for a target.
        samples: float32 N×… for each input, those of the calibration.

    Returns:
        The int8 .tflite with other biases.
    """
    before, after = WeightedGraph(floats), WeightedGraph(quantized)
    original = {before.tensors[op.outputs[0]].name: op for op in before.operators if before.has_own_weights(op)}
    means = _means(floats, samples)
    for operator in after.operators:
        source = original.get(after.tensors[operator.outputs[0]].name)
        if source is None or not after.has_own_weights(operator) or after.weights(operator).dtype != np.int8:
            continue
        lost = before.weights(source) - after.real_weights(operator)
        mean = means[int(source.inputs[0])]
        if mean.shape[-1] == lost.shape[-1]:  # no grouped convolution
            steps = np.array(flatbuffer.scales(after.tensors[int(operator.inputs[2])])[0])
            after.biases(operator)[:] += np.rint(_response(after.name(operator), source, mean, lost) / steps).astype(
                int
            )
    return after.write()


def _means(content: bytes, samples: Sequence[np.ndarray]) -> dict[int, np.ndarray]:
    """The mean over the samples of every activation, place by place, and of the inputs."""
    activations = Activations(content)
    graph = flatbuffer.read(content).subgraphs[0]
    sums: dict[int, np.ndarray] = {}
    tensors = [*map(int, graph.inputs), *activations.tensors]
    for sample, values in activations.over(samples, "Measuring means"):
        for tensor, value in zip(tensors, [*sample, *values], strict=True):
            if tensor in sums:
                sums[tensor] += value
            else:
                sums[tensor] = value.astype(np.float32)
    return {tensor: total / len(samples[0]) for tensor, total in sums.items()}


def _response(name: str, operator: Any, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The mean over all places of what a layer with these weights and no bias makes of the values."""
    import tensorflow as tf

    if name == "FULLY_CONNECTED":
        return values.reshape(-1, weights.shape[1]).mean(axis=0) @ weights.T
    options = operator.builtinOptions
    padding = "SAME" if options.padding == schema.Padding.SAME else "VALID"
    dilation = [options.dilationHFactor, options.dilationWFactor]
    strides = [1, options.strideH, options.strideW, 1]
    if name == "DEPTHWISE_CONV_2D":
        kernel = weights.reshape(*weights.shape[1:], 1)
        result = tf.nn.depthwise_conv2d(values, kernel, strides, padding, dilations=dilation)
    else:
        result = tf.nn.conv2d(values, weights.transpose(1, 2, 3, 0), strides, padding, dilations=dilation)
    return result.numpy().reshape(-1, result.shape[-1]).mean(axis=0)
