"""A .tflite as an ONNX graph, by tf2onnx: float, or int8 as QuantizeLinear and DequantizeLinear around operators (QDQ).

What tf2onnx does not read is put right before it (RESHAPE, names), told to it (GELU) or mended behind it (the batch).
"""

import contextlib
import gc
import logging
import math
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from keras_mobilenets.errors import UserError, first_line
from keras_mobilenets.tflite.exports.stored_weights import unpack
from keras_mobilenets.tflite.graph import flatbuffer

OPSET = 17  # HardSwish needs 14; TensorRT 8.6 and OpenVINO 2023 take 17
BATCH = "batch"  # name of an open batch
_GARBAGE = 100_000  # objects between two searches for garbage; 700 as a rule
_QDQ = ("DequantizeLinear", "QuantizeLinear")


def read_graph(content: bytes, path: object, *, is_nchw: bool = False) -> Any:
    """The ONNX model of a .tflite with one input.

    Args:
        content: The .tflite.
        path: Its file, for messages.
        is_nchw: Whether the input is 1×C×H×W.

    Raises:
        UserError: tf2onnx is missing, or does not know an operator.
    """
    try:
        with _quiet():
            from tf2onnx import convert
    except ImportError as error:
        raise UserError(
            "ONNX export needs onnx, onnxruntime and tf2onnx: pip install keras_mobilenets[onnx]"
        ) from error
    content = _readable(content, path)
    name = flatbuffer.text(_input(content).name)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.tflite"
        file.write_bytes(content)
        try:
            with _quiet(), _fast():
                model, _ = convert.from_tflite(
                    str(file),
                    opset=OPSET,
                    custom_op_handlers={"TFL_GELU": (_gelu, [])},
                    inputs_as_nchw=[name] if is_nchw else None,
                )
        except Exception as error:  # whatever an operator that it does not know leads to
            raise UserError(f"{path} cannot be written as ONNX: tf2onnx says {first_line(error)}") from error
    left = sorted({node.op_type for node in model.graph.node if node.domain or node.op_type.startswith("TFL_")})
    if left:
        raise UserError(f"{path} cannot be written as ONNX: {', '.join(left)} has no counterpart there")
    _give_sizes(model)
    drop_unread(model)
    return model


def drop_unread(model: Any) -> None:
    """Takes constants that no operator reads out of an ONNX model."""
    read = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in read]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def _give_sizes(model: Any) -> None:
    """Gives each Resize the sizes that it makes in the place of tf2onnx's factors: changes the model.

    Runtimes cut what factors give: 0.9, which float32 rounds down, would make 8 of 10.
    """
    from onnx import numpy_helper, shape_inference

    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    resizes = [node for node in model.graph.node if node.op_type == "Resize" and len(node.input) == 3]
    for node in resizes:
        factors = numpy_helper.to_array(constants[node.input[2]])
        _resize_by(model, node, np.where(factors * 4096 % 1 == 0, factors, np.nextafter(factors, np.float32(np.inf))))
    inferred = shape_inference.infer_shapes(model).graph if resizes else model.graph
    shapes = _shapes((*inferred.value_info, *inferred.output))
    for node in resizes:
        name = f"{node.output[0]}__sizes"
        model.graph.initializer.append(numpy_helper.from_array(np.array(shapes[node.output[0]], np.int64), name))
        node.input[1:] = ["", "", name]


def _resize_by(model: Any, node: Any, factors: np.ndarray) -> None:
    """Gives a Resize factors, one for each axis."""
    from onnx import numpy_helper

    name = f"{node.output[0]}__factors_{len(model.graph.initializer)}"
    model.graph.initializer.append(numpy_helper.from_array(factors.astype(np.float32), name))
    node.input[1:] = ["", name]


def _shapes(values: Iterable[Any]) -> dict[str, list[int]]:
    """Sizes by the name of a tensor, 0 for an open one."""
    return {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in values}


def open_batch(model: Any) -> None:
    """Lets an ONNX model take any number of images: changes it.

    A RESHAPE keeps all sizes but the first, which is the batch or a multiple of it; a slice of all images stays one; a
    resize has factors again, rounded up.
    """
    from onnx import helper, numpy_helper, shape_inference

    inferred = shape_inference.infer_shapes(model).graph
    shapes = _shapes((*inferred.value_info, *inferred.input, *inferred.output))
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Reshape" and node.input[1] in constants and node.input[0] not in constants:
            known = shapes.get(node.output[0], [])
            asked = numpy_helper.to_array(constants[node.input[1]])
            sizes = known if known and all(known) else asked.tolist()
            if len(sizes) == 1:  # tf2onnx leaves out sizes of 1 before a sum of 1×1 maps
                sizes = [1, 1, 1, *sizes]
            if -1 not in sizes[1:]:
                name = f"{node.output[0]}__batch"
                model.graph.initializer.append(numpy_helper.from_array(np.array([-1, *sizes[1:]], np.int64), name))
                node.input[1] = name
        elif node.op_type == "Slice":
            _slice_all(model, node, constants)
        elif node.op_type == "Resize" and len(node.input) == 4 and node.input[0] in shapes:
            exact = numpy_helper.to_array(constants[node.input[3]]) / np.array(shapes[node.input[0]])
            factors = exact.astype(np.float32)
            _resize_by(model, node, np.where(factors < exact, np.nextafter(factors, np.float32(np.inf)), factors))
    drop_unread(model)
    del model.graph.value_info[:]
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = BATCH
    helper.set_model_props(model, {entry.key: entry.value for entry in model.metadata_props})


def _slice_all(model: Any, node: Any, constants: dict[str, Any]) -> None:
    """Where a slice takes the one image that there is, lets it take all."""
    from onnx import numpy_helper

    starts, ends, *more = ([int(x) for x in numpy_helper.to_array(constants[name])] for name in node.input[1:4])
    axes = more[0] if more else list(range(len(starts)))
    if 0 in axes and starts[axes.index(0)] == 0 and ends[axes.index(0)] == 1:
        ends[axes.index(0)] = np.iinfo(np.int64).max
        name = f"{node.output[0]}__ends"
        model.graph.initializer.append(numpy_helper.from_array(np.array(ends, np.int64), name))
        node.input[2] = name


def pad_integers(model: Any) -> None:
    """Pads int8 tensors as they are, not their floats between DequantizeLinear and QuantizeLinear: changes the model.

    OpenVINO's transformations for int8 pad the constants of the one, then give them to the residual sum behind as well.
    """
    from onnx import numpy_helper

    graph = model.graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    for node in [node for node in graph.node if node.op_type == "Pad" and not node.attribute]:
        before, after = makers.get(node.input[0]), readers.get(node.output[0], [])
        if before is None or [before.op_type, *(each.op_type for each in after)] != [*_QDQ]:
            continue
        scales = zip(before.input[1:], after[0].input[1:], strict=True)
        values = [constants[name] for name in node.input[2:] if name]
        if all(np.array_equal(constants[a], constants[b]) for a, b in scales) and not any(map(np.any, values)):
            kept = [before.input[0], node.input[1], before.input[2]]  # 0.0 is stored as the zero point
            del node.input[:]
            node.input.extend(kept)
            node.output[0] = after[0].output[0]
            graph.node.remove(after[0])


def _readable(content: bytes, path: object) -> bytes:
    """With what tf2onnx needs and the format leaves open: the new shape among the options of each RESHAPE, one name for
    each tensor; weights as float32 and dense.

    Raises:
        UserError: It has what ONNX, or tf2onnx, lacks beside operators.
    """
    model = flatbuffer.read(content, path)
    if len(model.subgraphs) > 1:
        raise UserError(f"{path} cannot be written as ONNX: it has several graphs, as models with a state have")
    unpack(model)
    if any(tensor.sparsity for tensor in model.subgraphs[0].tensors):
        raise UserError(f"{path} cannot be written as ONNX: it has sparse tensors; export the dense file")
    graph = flatbuffer.Graph(model)
    for operator in graph.operators:
        if graph.name(operator) == "RESHAPE":
            if operator.builtinOptions is None:
                operator.builtinOptionsType = flatbuffer.schema.BuiltinOptions.ReshapeOptions
                operator.builtinOptions = flatbuffer.schema.ReshapeOptionsT()
            operator.builtinOptions.newShape = np.array(graph.shape(int(operator.outputs[0])), np.int32)
    _name_apart(model.subgraphs[0])
    return flatbuffer.write(model)


def _name_apart(graph: Any) -> None:
    """Gives tensors of one name, or of none, their place as well; inputs and outputs come first and keep theirs."""
    ends, seen = {*graph.inputs, *graph.outputs}, set()
    for place in sorted(range(len(graph.tensors)), key=lambda place: place not in ends):
        name = flatbuffer.text(graph.tensors[place].name)
        while not name or name in seen:
            name = f"{name or 'tensor'}__{place}"
        seen.add(name)
        graph.tensors[place].name = name.encode()


def _input(content: bytes) -> Any:
    graph = flatbuffer.read(content).subgraphs[0]
    return graph.tensors[graph.inputs[0]]


def _gelu(context: Any, node: Any, name: str, _: Any) -> None:
    """x/2 · (1 + erf(x/√2)), or with tanh where the file asks for the approximation; runtimes fuse either."""
    shape, dtype = context.get_shape(node.output[0]), context.get_dtype(node.output[0])
    x, out, approximate = node.input[0], node.output[0], node.get_attr_value("approximate", 0)
    context.remove_node(node.name)

    def make(kind: str, *inputs: Any, **more: Any) -> str:
        given = [
            value
            if isinstance(value, str)
            else context.make_const(f"{name}__{kind}_{value:.6g}", np.float32(value)).output[0]
            for value in inputs
        ]
        return context.make_node(kind, given, shapes=[shape], dtypes=[dtype], **more).output[0]

    if approximate:
        cube = make("Mul", make("Mul", x, x), x)
        inner = make("Tanh", make("Mul", make("Add", x, make("Mul", cube, 0.044715)), math.sqrt(2 / math.pi)))
    else:
        inner = make("Erf", make("Div", x, math.sqrt(2)))
    make("Mul", make("Mul", x, make("Add", inner, 1.0)), 0.5, outputs=[out])


@contextlib.contextmanager
def _fast() -> Iterator[None]:
    """Lets tf2onnx move transposes in a few passes over the graph, where it begins anew after every move: with 1,700
    operators that takes minutes. And has fewer searches for garbage while it copies the graph for each optimizer.
    """
    from tf2onnx import optimizer
    from tf2onnx.optimizer.transpose_optimizer import TransposeOptimizer, is_transpose, is_useless_transpose

    class InPasses(TransposeOptimizer):
        def _optimize_at_current_graph_level(self, graph: Any) -> Any:
            self._g, moved = graph, True
            self.pre_optimize_action()
            while moved:
                moved = False
                for node in [node for node in self.nodes if is_transpose(node)]:
                    while self.is_left(node) and self._handle_nhwc_tranpose(node):
                        moved = self.graph_been_opt = True
                    if self.is_left(node) and is_useless_transpose(node):
                        moved = True
                        self._remove_useless_tranpose(node)
            self.merge_duplicated_transposes()
            self.post_optimize_action()
            return graph

        def is_left(self, node: Any) -> bool:
            """Whether a move of another one has not removed it."""
            return self._g.get_node_by_name(node.name) is node

    name, thresholds = "optimize_transpose", gc.get_threshold()
    optimizers: Any = optimizer._get_optimizers()
    before = optimizers[name]
    optimizers[name] = InPasses
    gc.set_threshold(_GARBAGE, *thresholds[1:])
    try:
        yield
    finally:
        optimizers[name] = before
        gc.set_threshold(*thresholds)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what tf2onnx, and the interpreter that it asks, say of each step."""
    from keras_mobilenets.tflite.runtime.native_output import suppress_native_output

    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with suppress_native_output():
            yield
    finally:
        logging.disable(before)
