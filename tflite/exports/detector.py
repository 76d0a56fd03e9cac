"""A detector's .tflite up to its suppression: boxes and scores of all anchors, in operators that all runtimes have."""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers

from keras_mobilenets.tflite.graph import flatbuffer, signature
from keras_mobilenets.tflite.graph.unused_tensors import drop_unused

OUTPUTS = ("boxes", "scores")


def without_suppression(content: bytes) -> bytes:
    """Puts the decoding of boxes in the place of TFLite_Detection_PostProcess, which also leaves out the weaker ones.

    Args:
        content: A .tflite that `flatbuffer.detects`, of `convert` or of others.

    Returns:
        One of two float32 outputs: `boxes`, 1×A×4, y1, x1, y2, x2 in shares of the image's height and width, which may
        reach beyond it; and `scores`, 1×A×classes, without the background.
    """
    model = flatbuffer.read(content)
    graph, ends = flatbuffer.Graph(model), model.subgraphs[0]
    last, classes = flatbuffer.detection(model), flatbuffer.detected_classes(model)
    options = flexbuffers.Loads(bytes(last.customOptions))
    del graph.operators[graph.place(last) :]  # and what numbers its classes
    offsets, scores = (graph.float_of(int(place)) for place in last.inputs[:2])
    anchors = graph.numbers(int(last.inputs[2]))
    center, size = (np.array([options[f"{axis}_scale"] for axis in axes], np.float32) for axes in ("yx", "hw"))

    def constant(values: np.ndarray) -> int:
        return graph.add_tensor("constant", values.shape, _TYPES[values.dtype.kind], values=values)

    def made(name: str, *inputs: int | np.ndarray, like: int = offsets, last: int = 2, **more: Any) -> int:
        """A new operator's output, as `like` but for its last size; arrays become constants."""
        places = [value if isinstance(value, int) else constant(value) for value in inputs]
        out = graph.add_tensor(name.lower(), (*graph.shape(like)[:-1], last), schema.TensorType.FLOAT32)
        operator = graph.insert(name, places, out, len(graph.operators))
        for option, value in more.items():
            setattr(operator.builtinOptions, option, value)
        return out

    def columns(tensor: int, start: int, count: int) -> int:
        begin, sizes = (np.array(each, np.int32) for each in ([0, 0, start], [*graph.shape(tensor)[:-1], count]))
        return made("SLICE", tensor, begin, sizes, like=tensor, last=count)

    middle = made("ADD", made("MUL", columns(offsets, 0, 2), anchors[:, 2:] / center), anchors[:, :2])
    growth = made("EXP", made("MUL", columns(offsets, 2, 2), 1 / size))
    half = made("MUL", growth, anchors[:, 2:] / 2)
    boxes = made("CONCATENATION", made("SUB", middle, half), made("ADD", middle, half), last=4, axis=2)
    maker = graph.makers().get(scores)
    if maker is not None and graph.name(maker) == "PAD":  # of classes that are none, in front of the others
        scores = int(maker.inputs[0])
    if (count := graph.shape(scores)[-1]) > classes:  # the first is the background
        scores = columns(scores, count - classes, classes)
    ends.outputs = np.array([boxes, scores], np.int32)
    signature.name_ends(model, [flatbuffer.text(graph.tensors[int(place)].name) for place in ends.inputs], OUTPUTS)
    drop_unused(model)
    return flatbuffer.write(model)


_TYPES = {"f": schema.TensorType.FLOAT32, "i": schema.TensorType.INT32}  # of constants, by NumPy's kind
