"""A .tflite whose layers have weights that can be looked at, and changed, channel by channel."""

from collections import Counter
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_mobilenets.tflite.graph import flatbuffer

# Where the weights of an operator have their output and their input channels.
_AXES = {"CONV_2D": (0, 3), "DEPTHWISE_CONV_2D": (3, 3), "FULLY_CONNECTED": (0, 1)}


class WeightedGraph(flatbuffer.Graph):
    """The graph of a .tflite; arrays that were asked for may be changed in place, and `write` puts them back."""

    def __init__(self, content: bytes) -> None:
        """Takes a .tflite, float or int8."""
        super().__init__(flatbuffer.read(content))
        self._arrays: dict[int, np.ndarray] = {}

    def has_own_weights(self, operator: Any) -> bool:
        """Whether it is a layer with constant weights and biases that no other operator reads."""
        own = [int(tensor) for tensor in operator.inputs[1:]]
        return (
            self.name(operator) in _AXES
            and len(own) == 2
            and all(t >= 0 and flatbuffer.is_constant(self.model, self.tensors[t]) for t in own)
            and all(len(self.readers(t)) == 1 for t in own)
            and (self.name(operator) != "DEPTHWISE_CONV_2D" or operator.builtinOptions.depthMultiplier in (0, 1))
            and self.array(own[0]).dtype.kind in "fi"
        )

    def array(self, tensor: int) -> np.ndarray:
        """The values of a constant; changes of it are written."""
        if tensor not in self._arrays:
            self._arrays[tensor] = self.constant(tensor).copy()
        return self._arrays[tensor]

    def weights(self, operator: Any) -> np.ndarray:
        """Weights of an operator as they are stored."""
        return self.array(int(operator.inputs[1]))

    def biases(self, operator: Any) -> np.ndarray:
        """Biases of an operator as they are stored."""
        return self.array(int(operator.inputs[2]))

    def by_output_channel(self, operator: Any) -> np.ndarray:
        """A view of the weights with the channels that they give on the first axis."""
        return np.moveaxis(self.weights(operator), _AXES[self.name(operator)][0], 0)

    def by_input_channel(self, operator: Any) -> np.ndarray:
        """Likewise, with the channels that they read."""
        return np.moveaxis(self.weights(operator), _AXES[self.name(operator)][1], 0)

    def steps(self, operator: Any, place: int) -> np.ndarray:
        """What one step of an int8 layer's weights (1) or biases (2) stands for, in a shape that spreads over them."""
        tensor = int(operator.inputs[place])
        scales, _ = flatbuffer.scales(self.tensors[tensor])
        shape = [1] * len(self.shape(tensor))
        shape[_AXES[self.name(operator)][0] if place == 1 else 0] = len(scales)
        return np.array(scales, np.float32).reshape(shape)

    def real_weights(self, operator: Any) -> np.ndarray:
        """What the weights stand for, in float."""
        weights = self.weights(operator)
        is_float = not flatbuffer.scales(self.tensors[int(operator.inputs[1])])[0]
        return weights if is_float else weights * self.steps(operator, 1)

    def write(self) -> bytes:
        """The .tflite with the changed constants."""
        self.put_back()
        return flatbuffer.write(self.model)

    def put_back(self) -> None:
        """Gives the model the constants as they are now."""
        users = Counter(int(tensor.buffer) for tensor in self.tensors)
        for tensor, values in self._arrays.items():
            data = np.frombuffer(values.tobytes(), np.uint8)
            if users[int(self.tensors[tensor].buffer)] == 1:
                self.model.buffers[self.tensors[tensor].buffer].data = data
            else:  # equal constants share a buffer
                self.model.buffers.append(schema.BufferT(data=data))
                self.tensors[tensor].buffer = len(self.model.buffers) - 1


def with_constants_of(content: bytes, source: bytes) -> bytes:
    """An int8 .tflite with the weights and biases that layers of the same names have in another of the same scales."""
    graph, other = WeightedGraph(content), WeightedGraph(source)
    layers = {other.tensors[op.outputs[0]].name: op for op in other.operators if other.has_own_weights(op)}
    for operator in graph.operators:
        layer = layers.get(graph.tensors[operator.outputs[0]].name)
        if layer is not None and graph.has_own_weights(operator) and graph.weights(operator).dtype == np.int8:
            graph.weights(operator)[:] = other.weights(layer)
            graph.biases(operator)[:] = other.biases(layer)
    return graph.write()
