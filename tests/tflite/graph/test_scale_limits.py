"""Scales that take the runtime's process down are refused in one line, and no others."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from networks import answers

import keras_mobilenets as km
from keras_mobilenets import tflite
from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.graph.flatbuffer import schema

RUN = """
import sys
from ai_edge_litert.interpreter import Interpreter
model = Interpreter(sys.argv[1])
model.allocate_tensors()
model.invoke()
"""


def runs(path):
    """Whether the plain interpreter runs a file, in a process of its own."""
    return subprocess.run([sys.executable, "-c", RUN, str(path)], capture_output=True, timeout=60).returncode == 0


def sum_at_the_end(scale_of):
    """Puts an ADD of the logits with themselves before the softmax; its scale is a multiple of theirs."""

    def change(model, graph):
        graph = flatbuffer.Graph(model)
        softmax = graph.operators[-1]
        (logits,) = softmax.inputs
        read = graph.tensors[logits].quantization
        written = schema.QuantizationParametersT(
            scale=(read.scale * np.float32(scale_of)).astype(np.float32), zeroPoint=np.array([0])
        )
        total = graph.add_tensor("sum", graph.shape(logits), schema.TensorType.INT8, written)
        graph.insert("ADD", [int(logits)] * 2, total, graph.place(softmax), version=2)
        softmax.inputs = np.array([total], np.int32)

    return change


def output_scale(name, ratio):
    """Gives an operator an output scale that its inputs' product is so many times of."""

    def change(model, graph):
        operator = next(op for op in graph.operators if flatbuffer.operator_name(model, op) == name)
        source, weights, output = (
            graph.tensors[place].quantization for place in (*operator.inputs[:2], operator.outputs[0])
        )
        output.scale = (source.scale[:1] * weights.scale.max() / np.float32(ratio)).astype(np.float32)

    return change


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda side: sum_at_the_end(2 / 2**20 * (1 + side / 100)), "ADD 5"),
        (lambda side: output_scale("CONV_2D", 256 - side), "CONV_2D 0"),
        (lambda side: output_scale("DEPTHWISE_CONV_2D", 256 - side), "DEPTHWISE_CONV_2D 1"),
        (lambda side: output_scale("FULLY_CONNECTED", 256 - side), "FULLY_CONNECTED 4"),
    ],
)
def test_the_limit_is_the_runtimes(changed, change, name):
    within = changed(change(1), "int8")
    assert runs(within) and tflite.inspect(within)
    beyond = changed(change(-1), "int8")
    assert not runs(beyond)
    with pytest.raises(UserError, match=rf"the scale \S+ of what {name} computes, \S+, is far too small") as refused:
        tflite.inspect(beyond)
    assert "\n" not in str(refused.value)
    assert tflite.check_nnapi(beyond)  # which opens nothing


def test_a_layer_that_does_not_vary_is_refused_and_aborts_nothing(keras_model, pixels, tmp_path):
    model = keras.models.clone_model(keras_model)
    model.set_weights(keras_model.get_weights())
    dense = model.layers[-2]
    images = np.repeat(pixels[:1], 8, axis=0)
    images[0, 0, 0] ^= 1
    logits = keras.Model(model.inputs, dense.output)
    dense.bias.assign(-answers(logits, km.preprocess_input(images[1:2]))[0])
    with pytest.raises(
        UserError, match=r"^the model cannot be int8: the scale .* FULLY_CONNECTED 4 .* leave_in_float$"
    ):
        tflite.convert(model, tmp_path / "m.tflite", quantize="int8", effort="low", calibration=images, pixels="-1..1")
    assert not (tmp_path / "m.tflite").exists()
