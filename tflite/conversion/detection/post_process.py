"""A detector's .tflite: a body that int8 quantizes, and a float tail that decodes boxes and suppresses the weaker ones.

The tail is TensorFlow Lite's own operator TFLite_Detection_PostProcess, which every runtime has, no Flex. It runs on
the CPU behind every delegate: NNAPI has such an operator too, but its delegate maps no custom operator to it.
"""

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers

from keras_mobilenets.errors import UserError
from keras_mobilenets.models.detection.anchors import CENTER, SIZE, anchors_of
from keras_mobilenets.models.detection.ssdlite import OUTPUT
from keras_mobilenets.tflite.graph import flatbuffer, signature
from keras_mobilenets.training.tasks.detection.suppression import LOWEST, MOST, OVERLAP

# Class by class, TFLite_Detection_PostProcess leaves out class n where its interpreter has n > 1 threads: its counter
# of classes starts at n and is raised before it is read (detection_postprocess.cc of TensorFlow 2.4 to LiteRT 2.3;
# issue 56058). So the first classes are none, which nothing scores, and up to 16 threads leave out one of them.
UNUSED = 17


def is_detector(model: Any) -> bool:
    """Whether a Keras model, of Keras 3 or tf_keras, in tfmot's wrappers or not, is one that `SSDLite` made."""
    names = {getattr(layer, "layer", layer).name for layer in getattr(model, "layers", ())}
    return {"boxes_0", OUTPUT} <= names


def body(content: bytes) -> bytes:
    """The .tflite of a detector without its last operator, which puts offsets and logits side by side.

    Args:
        content: A float .tflite whose one output is that of `SSDLite`.

    Returns:
        One with two outputs, `boxes` and `scores`: each has numbers of a range of its own.

    Raises:
        UserError: It does not end in their concatenation.
    """
    model = flatbuffer.read(content)
    graph = model.subgraphs[0]
    last = graph.operators[-1]
    if flatbuffer.operator_name(model, last) != "CONCATENATION" or len(last.inputs) != 2:
        raise UserError("the detector does not end in its offsets beside its logits: build it with km.SSDLite")
    graph.operators = graph.operators[:-1]
    graph.outputs = np.array(last.inputs, np.int32)
    names = [flatbuffer.text(graph.tensors[place].name) for place in graph.inputs]
    signature.name_ends(model, names, ["boxes", "scores"])
    return flatbuffer.write(model)


def with_post_process(content: bytes, model: Any) -> bytes:
    """Appends softmax, decoding and suppression in float to the .tflite of `body`, quantized or not.

    Args:
        content: The .tflite.
        model: The Keras model that it was made of.

    Returns:
        A .tflite with the outputs of `flatbuffer.DETECTION_OUTPUTS`.
    """
    changed = flatbuffer.read(content)
    graph, places = flatbuffer.Graph(changed), changed.subgraphs[0]
    boxes, logits = (graph.float_of(int(place)) for place in places.outputs)
    scores, classes = _scores(graph, logits), graph.shape(logits)[-1] - 1
    anchors = anchors_of(model)
    table = graph.add_tensor("anchors", anchors.shape, schema.TensorType.FLOAT32, values=anchors)
    shapes = ((1, MOST, 4), (1, MOST), (1, MOST), (1,))
    ends = [
        graph.add_tensor(name, shape, schema.TensorType.FLOAT32)
        for name, shape in zip(flatbuffer.DETECTION_OUTPUTS, shapes, strict=True)
    ]
    changed.operatorCodes.append(
        schema.OperatorCodeT(
            deprecatedBuiltinCode=schema.BuiltinOperator.CUSTOM,
            builtinCode=schema.BuiltinOperator.CUSTOM,
            customCode=flatbuffer.DETECTION.encode(),
            version=1,
        )
    )
    options = {
        "max_detections": MOST,
        "max_classes_per_detection": 1,
        "detections_per_class": MOST,
        "use_regular_nms": True,  # class by class
        "nms_score_threshold": LOWEST,
        "nms_iou_threshold": OVERLAP,
        "num_classes": UNUSED + classes,
        flatbuffer.UNUSED_CLASSES: UNUSED,  # the runtime does not read it
        "y_scale": CENTER,
        "x_scale": CENTER,
        "h_scale": SIZE,
        "w_scale": SIZE,
    }
    graph.operators.append(
        schema.OperatorT(
            opcodeIndex=len(changed.operatorCodes) - 1,
            inputs=np.array([boxes, scores, table], np.int32),
            outputs=np.array(ends, np.int32),
            customOptions=np.frombuffer(bytes(flexbuffers.Dumps(options)), np.uint8),
        )
    )
    ends[1] = _renumbered(graph, ends[1])
    places.outputs = np.array(ends, np.int32)
    names = [flatbuffer.text(graph.tensors[int(place)].name) for place in places.inputs]
    signature.name_ends(changed, names, flatbuffer.DETECTION_OUTPUTS)
    return flatbuffer.write(changed)


def _scores(graph: flatbuffer.Graph, logits: int) -> int:
    """Probabilities of the classes without the background, behind the classes that are none."""
    one, anchors, columns = graph.shape(logits)
    kind = schema.TensorType.FLOAT32
    probabilities = graph.add_tensor("probabilities", (one, anchors, columns), kind)
    graph.insert("SOFTMAX", [logits], probabilities, len(graph.operators)).builtinOptions.beta = 1.0
    objects = graph.add_tensor("objects", (one, anchors, columns - 1), kind)
    bounds = [
        _integers(graph, name, each) for name, each in (("begin", [0, 0, 1]), ("size", [one, anchors, columns - 1]))
    ]
    graph.insert("SLICE", [probabilities, *bounds], objects, len(graph.operators))
    scores = graph.add_tensor("scores", (one, anchors, UNUSED + columns - 1), kind)
    margins = _integers(graph, "margins", [[0, 0], [0, 0], [UNUSED, 0]])
    graph.insert("PAD", [objects, margins], scores, len(graph.operators))
    return scores


def _renumbered(graph: flatbuffer.Graph, classes: int) -> int:
    """The classes from 0 on, by ADD_N: no delegate takes it, so that it is no partition of its own."""
    shape, kind = graph.shape(classes), schema.TensorType.FLOAT32
    unused = graph.add_tensor("unused", shape, kind, values=np.full(shape, -UNUSED, np.float32))
    numbers = graph.add_tensor(flatbuffer.DETECTION_OUTPUTS[1], shape, kind)
    graph.insert("ADD_N", [classes, unused], numbers, len(graph.operators))
    return numbers


def _integers(graph: flatbuffer.Graph, name: str, values: list[Any]) -> int:
    table = np.array(values, np.int32)
    return graph.add_tensor(name, table.shape, schema.TensorType.INT32, values=table)
