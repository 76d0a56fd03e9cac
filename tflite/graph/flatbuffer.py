"""A .tflite as Python objects and back, by the schema that ships with the runtime."""

from collections.abc import Callable
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers

from keras_mobilenets.errors import UserError
from keras_mobilenets.graphs.input_names import HISTORY
from keras_mobilenets.tflite.graph import signature
from keras_mobilenets.waveforms.features import INPUTS

NAMED_INPUTS = INPUTS | {HISTORY}  # those whose axes alone would not tell what they are
DETECTION = "TFLite_Detection_PostProcess"
UNUSED_CLASSES = "unused_classes"  # of its options: how many of the first classes are none
# A detector's outputs: y1, x1, y2, x2 in shares of the image's sides; classes from 0; scores; how many there are.
DETECTION_OUTPUTS = ("detection_boxes", "detection_classes", "detection_scores", "num_detections")


def read(content: bytes, path: object = "the model") -> Any:
    """Unpacks a .tflite into the schema's `ModelT`.

    Raises:
        UserError: The bytes are no .tflite, or are damaged.
    """
    if content[4:8] != b"TFL3":
        raise UserError(f"{path} is not a .tflite file: it lacks the TFL3 identifier")
    try:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
        model.subgraphs[0].tensors[0]  # a model without a tensor is no model
        for buffer in model.buffers or ():
            _take_in(buffer, content)
        for graph in model.subgraphs:
            _list_all(graph)
    except Exception as error:  # offsets of a damaged file lead anywhere
        raise UserError(f"{path} is damaged: its tables cannot be read; convert it again") from error
    return model


def _list_all(graph: Any) -> None:
    """Gives a graph, and its operators, an empty list where the file leaves one out."""
    graph.tensors, graph.operators = graph.tensors or [], graph.operators or []
    for item in (graph, *graph.operators):
        item.inputs, item.outputs = (
            np.zeros(0, np.int32) if tensors is None else tensors for tensors in (item.inputs, item.outputs)
        )


def _take_in(buffer: Any, content: bytes) -> None:
    """Moves into a buffer what a large file stores behind its tables, where the buffer gives offset and size."""
    if buffer is None or buffer.data is not None or buffer.offset <= 1:  # 1 stands for "not yet known"
        return
    if buffer.offset + buffer.size > len(content):
        raise ValueError("a buffer that ends behind the file")
    buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
    buffer.offset = buffer.size = 0


def write(model: Any) -> bytes:
    """Packs a `ModelT` into the bytes of a .tflite."""
    weights = sum(len(buffer.data) for buffer in model.buffers if buffer.data is not None)
    builder = flatbuffers.Builder(weights + (1 << 16))
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def changed(content: bytes, *changes: Callable[["Graph"], None]) -> bytes:
    """A .tflite after changes of its first graph, one behind the other."""
    graph = Graph(read(content))
    for change in changes:
        change(graph)
    return write(graph.model)


def description(content: bytes) -> str:
    """What a .tflite says about itself."""
    words: bytes | None = schema.Model.GetRootAs(content, 0).Description()
    return text(words)


def described(content: bytes, words: str) -> bytes:
    """A .tflite with other words about it, which viewers of the format show."""
    model = read(content)
    model.description = words.encode()
    return write(model)


def with_metadata(content: bytes, name: str, data: bytes) -> bytes:
    """A .tflite with a buffer of that name in its metadata; the format lets anyone add some."""
    model = read(content)
    model.buffers.append(schema.BufferT(data=np.frombuffer(data, np.uint8)))
    entry = schema.MetadataT(name=name.encode(), buffer=len(model.buffers) - 1)
    model.metadata = [*(model.metadata or []), entry]
    return write(model)


def metadata(content: bytes, name: str) -> bytes | None:
    """What a .tflite has in the buffer of that name in its metadata; None where it has none."""
    model = read(content)
    places = [entry.buffer for entry in model.metadata or [] if entry.name == name.encode()]
    data = model.buffers[places[0]].data if places and 0 <= places[0] < len(model.buffers) else None
    return None if data is None else bytes(data)


def set_range(tensor: Any, low: float, high: float) -> None:
    """Writes the range of an activation where TensorFlow Lite's quantizer looks for it."""
    tensor.quantization = schema.QuantizationParametersT(
        min=np.array([low], np.float32), max=np.array([high], np.float32)
    )


def range_of(tensor: Any) -> tuple[float, float] | None:
    """The range of an activation that `set_range` has written, least and greatest."""
    known = tensor.quantization
    if known is None or known.min is None or not len(known.min):
        return None
    return float(known.min[0]), float(known.max[0])


def scales(tensor: Any) -> tuple[tuple[float, ...], int]:
    """A tensor's quantization scales (none, one, or one per channel) and its first zero point (0 without any)."""
    quantization = tensor.quantization
    if quantization is None or quantization.scale is None:
        return (), 0
    points = quantization.zeroPoint
    return tuple(float(scale) for scale in quantization.scale), int(points[0]) if points is not None else 0


def operator_code(code: Any) -> int:
    """An `OperatorCodeT`'s number in the format's list of operators."""
    return max(int(code.builtinCode), int(code.deprecatedBuiltinCode))  # above 127 only the newer field holds it


def operator_name(model: Any, operator: Any) -> str:
    """The operator's name as TensorFlow Lite writes it, such as "CONV_2D"; a custom operator's own name."""
    code = model.operatorCodes[operator.opcodeIndex]
    number = operator_code(code)
    if number == schema.BuiltinOperator.CUSTOM:
        return (code.customCode or b"CUSTOM").decode("utf-8", "replace")
    return _OPERATORS.get(number, f"operator {number}")


def type_name(number: int) -> str:
    """The name of a tensor type, such as "int8"."""
    return _TYPES.get(number, f"type {number}").lower()


def is_classifier(content: bytes) -> bool:
    """Whether a .tflite takes one image or clip, one waveform or history, or features, and gives a vector of scores."""
    graph = read(content).subgraphs[0]
    ends = [[graph.tensors[tensor] for tensor in side] for side in (graph.inputs, graph.outputs)]
    axes = [[len(tensor.shape) if tensor.shape is not None else 0 for tensor in side] for side in ends]
    is_named = text(ends[0][0].name) in NAMED_INPUTS if ends[0] else False
    return axes in ([[4], [2]], [[5], [2]]) or (axes == [[2], [2]] and is_named)


def detects(model: Any) -> bool:
    """Whether a model takes an image and gives a detector's four outputs by the operator that decodes its boxes."""
    graph = model.subgraphs[0]
    takes_image = len(graph.inputs) == 1 and len(shape_of(graph.tensors[graph.inputs[0]])) == 4
    return takes_image and len(graph.outputs) == len(DETECTION_OUTPUTS) and detection(model) is not None


def detected_classes(model: Any) -> int:
    """How many classes a detector tells apart; the background is none."""
    options = flexbuffers.Loads(bytes(detection(model).customOptions))
    return int(options["num_classes"]) - int(options.get(UNUSED_CLASSES, 0))


def detection(model: Any) -> Any:
    """The operator that decodes a detector's boxes; None where there is none."""
    operators = model.subgraphs[0].operators
    return next((operator for operator in operators if operator_name(model, operator) == DETECTION), None)


def is_constant(model: Any, tensor: Any) -> bool:
    """Whether a tensor's values are stored in the file."""
    return stored_bytes(model, tensor) is not None


def stored_bytes(model: Any, tensor: Any) -> np.ndarray | None:
    """What the file stores of a tensor; None of what is computed. Buffer 0 stands for nothing, whatever it holds."""
    data = model.buffers[tensor.buffer].data if tensor.buffer else None
    return np.asarray(data, np.uint8) if data is not None and len(data) else None


def ends(model: Any) -> str:
    """The inputs and outputs of a model, in words."""
    graph, sides = model.subgraphs[0], []
    for side in (graph.inputs, graph.outputs):
        tensors = [graph.tensors[place] for place in side]
        sides.append(
            ", ".join(signature.describe(text(t.name), type_name(t.type), shape_of(t)) for t in tensors) or "none"
        )
    return "inputs {}; outputs {}".format(*sides)


def text(name: bytes | None) -> str:
    """A name in the file, readable whatever bytes it has."""
    return (name or b"").decode("utf-8", "replace")


def shape_of(tensor: Any) -> tuple[int, ...]:
    """A tensor's sizes; −1 where only running the model tells, none for a single value."""
    shape, open_shape = (() if sizes is None else sizes for sizes in (tensor.shape, tensor.shapeSignature))
    return tuple(map(int, open_shape if len(open_shape) == len(shape) else shape))


class Graph:
    """A graph of a `ModelT`, with what changes of it look up and add.

    Attributes:
        model: The model.
        operators: Its operators, in the order of execution.
        tensors: Its tensors, which operators name by their place here.
    """

    def __init__(self, model: Any, number: int = 0) -> None:
        """Takes one of the model's graphs; changes of the lists are changes of the model."""
        self.model, self._graph = model, model.subgraphs[number]
        self.operators: list[Any] = self._graph.operators
        self.tensors: list[Any] = self._graph.tensors

    @property
    def inputs(self) -> np.ndarray:
        """The places of what it takes among its tensors."""
        return self._graph.inputs

    @property
    def outputs(self) -> np.ndarray:
        """The places of what it gives among its tensors."""
        return self._graph.outputs

    def name(self, operator: Any) -> str:
        """As `operator_name`."""
        return operator_name(self.model, operator)

    def shape(self, tensor: int) -> tuple[int, ...]:
        """A tensor's sizes; none for a number."""
        shape = self.tensors[tensor].shape
        return tuple(map(int, shape)) if shape is not None else ()

    def constant(self, tensor: int) -> np.ndarray:
        """The numbers that the file stores of a constant, in its shape; not to be changed."""
        stored = self.tensors[tensor]
        data = bytes(self.model.buffers[stored.buffer].data)
        return np.frombuffer(data, type_name(stored.type)).reshape(self.shape(tensor))

    def numbers(self, tensor: int) -> np.ndarray:
        """What a constant stands for, float32: (q − zero point) · scale of an integer one that has a scale."""
        values = self.constant(tensor).astype(np.float32)
        factors, zero_point = scales(self.tensors[tensor])
        return (values - np.float32(zero_point)) * np.float32(factors[0]) if factors else values

    def is_constant(self, tensor: int) -> bool:
        """As the function of this name."""
        return is_constant(self.model, self.tensors[tensor])

    def makers(self) -> dict[int, Any]:
        """By tensor, the operator that gives it."""
        return {int(tensor): operator for operator in self.operators for tensor in operator.outputs}

    def readers(self, tensor: int) -> list[Any]:
        """The operators that read a tensor."""
        return [operator for operator in self.operators if tensor in operator.inputs]

    def place(self, operator: Any) -> int:
        """Where an operator stands in the order of execution."""
        return next(place for place, other in enumerate(self.operators) if other is operator)

    def add_tensor(
        self, name: str, shape: tuple[int, ...], dtype: int, quantization: Any = None, values: np.ndarray | None = None
    ) -> int:
        """Adds a tensor, a constant where values are given; returns its place."""
        buffer = 0  # the empty one, by the format's rule
        if values is not None:
            self.model.buffers.append(schema.BufferT(data=np.frombuffer(values.tobytes(), np.uint8)))
            buffer = len(self.model.buffers) - 1
        label = f"{name}_{len(self.tensors)}".encode()
        self.tensors.append(schema.TensorT(np.array(shape, np.int32), dtype, buffer, label, quantization))
        return len(self.tensors) - 1

    def replace_constant(self, tensor: int, values: np.ndarray) -> None:
        """Gives a constant other numbers and their shape, of the type and the quantization that it has."""
        stored, data = self.tensors[tensor], np.frombuffer(values.tobytes(), np.uint8)
        stored.shape = np.array(values.shape, np.int32)
        if sum(other.buffer == stored.buffer for graph in self.model.subgraphs for other in graph.tensors) == 1:
            self.model.buffers[stored.buffer].data = data
        else:  # equal constants share a buffer
            self.model.buffers.append(schema.BufferT(data=data))
            stored.buffer = len(self.model.buffers) - 1

    def insert(self, name: str, inputs: list[int], output: int, place: int, version: int = 1) -> Any:
        """Makes a new operator, such as an "ADD", the one at a place; returns it."""
        options = _OPTIONS.get(name, f"{name.title().replace('_', '')}Options")
        operator = schema.OperatorT(
            opcodeIndex=self._code(getattr(schema.BuiltinOperator, name), version),
            inputs=np.array(inputs, np.int32),
            outputs=np.array([output], np.int32),
        )
        if options:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(schema, f"{options}T")()
        self.operators.insert(place, operator)
        return operator

    def float_of(self, tensor: int) -> int:
        """A float32 tensor of the same values: itself, or what a DEQUANTIZE at the end makes of it."""
        if self.tensors[tensor].type == schema.TensorType.FLOAT32:
            return tensor
        twin = self.add_tensor("float", self.shape(tensor), schema.TensorType.FLOAT32)
        self.insert("DEQUANTIZE", [tensor], twin, len(self.operators), version=2)
        return twin

    def _code(self, number: int, version: int) -> int:
        """The index of an operator's code, in that version or a later one."""
        codes = self.model.operatorCodes
        known = [operator_code(code) for code in codes]
        if number not in known:
            older = min(number, schema.BuiltinOperator.PLACEHOLDER_FOR_GREATER_OP_CODES)  # a field of eight bits
            codes.append(schema.OperatorCodeT(deprecatedBuiltinCode=older, builtinCode=number, version=version))
            return len(codes) - 1
        code = codes[known.index(number)]
        code.version = max(version, code.version)
        return known.index(number)


def _names(enum: type) -> dict[int, str]:
    return {number: name for name, number in vars(enum).items() if isinstance(number, int)}


_OPERATORS = _names(schema.BuiltinOperator)
_OPTIONS: dict[str, str | None] = {
    "MEAN": "ReducerOptions",
    "RSQRT": None,
    "LOGISTIC": None,
}  # whose options are not called like them
_TYPES = _names(schema.TensorType)
