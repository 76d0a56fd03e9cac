"""Which operators of a .tflite TensorFlow Lite's GPU delegate takes (OpenCL, OpenGL), and why it refuses the others.

Written from delegates/gpu/common/model_builder.cc of TensorFlow 2.14.0 (`IsSupported` of each operation parser,
`GetOpsToReplace` 3284, `IsAllAllowedTensors` 3050) and tools/versioning/gpu_compatibility.cc, which it calls and whose
`CheckGpuDelegateCompatibility` says the rest. The delegate's options are its defaults: one partition, the largest, and
int8 models computed in float. Where the delegate of LiteRT was seen to take more, or to compute wrongly, that stands
(litert_gpu.py). What a GPU's driver then refuses no file can tell. `tf.lite.experimental.Analyzer` is no help here:
in TensorFlow 2.21 it calls every file compatible, ARG_MAX and tensors of five dimensions included.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ai_edge_litert import schema_py_generated as schema

from keras_mobilenets.tflite.targets import litert_gpu
from keras_mobilenets.tflite.targets.compatibility import Check, check_file_for
from keras_mobilenets.tflite.targets.delegate_graph import Graph, Node
from keras_mobilenets.tflite.targets.partitions import Reason, judge

_BUILDER, _COMPATIBILITY = "model_builder.cc", "gpu_compatibility.cc"


@dataclass(frozen=True)
class GpuCheck(Check):
    """What `check_gpu` found, as a `Check` says it."""

    delegate: ClassVar[str] = "GPU delegate"
    limit: ClassVar[int] = 1

    @property
    def circumstances(self) -> str:
        """What the verdict holds for."""
        rules = (
            f"by the source of TensorFlow 2.14, default options, and {litert_gpu.SEEN}"
            if self.evidence == "rules"
            else ""
        )
        return "; ".join(filter(None, (rules, self.system)))

    def _at(self) -> str:
        return " by the GPU delegate"


def check_gpu(path: str | Path) -> GpuCheck:
    """Says which operators of a .tflite the GPU delegate of TensorFlow Lite takes on a phone, and why not the others.

    Reads the file; no GPU is needed.

    Args:
        path: The .tflite file.

    Returns:
        A verdict on every operator, the number of partitions and the share of multiply-adds delegated.

    Raises:
        UserError: The file is missing, is no .tflite, or is damaged.
    """
    return check_file_for(path, _check)


def _check(path: Path, graph: Graph) -> GpuCheck:
    return GpuCheck(path, **judge(graph, GpuCheck.limit, refusal, limited_at=f"{_BUILDER}:3333"))


def refusal(node: Node) -> Reason:
    """Why the delegate refuses an operator (empty if it takes it), and where that is known from."""
    if wrong := litert_gpu.failure(node):
        return wrong, litert_gpu.SEEN
    found = _refusal_by_source(node)
    return ("", litert_gpu.SEEN) if found[0] and litert_gpu.takes(node) else found


def _refusal_by_source(node: Node) -> Reason:
    if node.name not in _VERSIONS:
        return "the delegate does not know this operator, or no rule here judges it", f"{_BUILDER}:3075"
    highest = _VERSIONS[node.name]
    if highest and node.version > highest:
        return f"version {node.version} of it; the delegate knows up to {highest}", _BUILDER
    reason = _RULES.get(node.name, lambda node: "")(node)
    return (reason, _COMPATIBILITY) if reason else (_tensors(node), f"{_BUILDER}:3050")


def _tensors(node: Node) -> str:
    for operand in (*node.inputs, *node.outputs):
        if operand and len(operand.shape) > 4:
            return f"a tensor of {len(operand.shape)} dimensions; 4 are the most"
        if operand and not operand.constant and operand.dtype not in ("float32", "float16", "int8", "uint8"):
            return f"a tensor of {operand.dtype}"
    return ""


# The operators it knows, but for those that take or give integers or truth values, which are not judged here; each with
# the highest version it takes (0: any). Elementwise ones: 2 (3 for MUL), model_builder.cc:1061.
_ONE_INPUT = ("ABS", "COS", "ELU", "EXP", "FLOOR", "GELU", "LOG", "LOGISTIC", "NEG", "RSQRT", "SIGN", "SIN", "SQRT",
              "SQUARE", "TANH")  # fmt: skip
_TWO_INPUTS = ("DIV", "FLOOR_DIV", "FLOOR_MOD", "MAXIMUM", "MINIMUM", "POW", "SQUARED_DIFFERENCE", "SUB")
_REDUCTIONS = ("MEAN", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "SUM")
_VERSIONS: Mapping[str, int] = {
    **dict.fromkeys((*_ONE_INPUT, *_TWO_INPUTS, "ADD"), 2),
    **dict.fromkeys((*_REDUCTIONS, "BATCH_MATMUL", "HARD_SWISH", "RELU_N1_TO_1", "SPLIT", "SPLIT_V", "TILE"), 0),
    **dict.fromkeys(("PACK", "DEPTH_TO_SPACE"), 0),
    **dict.fromkeys(("CONCATENATION", "AVERAGE_POOL_2D", "MAX_POOL_2D", "PAD", "PADV2", "MIRROR_PAD", "QUANTIZE"), 2),
    **dict.fromkeys(("RELU", "RELU6", "LEAKY_RELU", "SLICE", "SOFTMAX", "SPACE_TO_DEPTH"), 2),
    **dict.fromkeys(("DEQUANTIZE", "MUL", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "TRANSPOSE_CONV"), 3),
    **dict.fromkeys(("STRIDED_SLICE", "TRANSPOSE"), 4),
    **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D"), 6),
    **dict.fromkeys(("PRELU", "RESHAPE"), 1),
    "FULLY_CONNECTED": 9,
}


def _computed(node: Node) -> int:
    """How many inputs are computed at run time."""
    return sum(operand is not None and not operand.constant for operand in node.inputs)


def _inputs(node: Node, computed: tuple[int, ...]) -> str:
    given = _computed(node)
    return "" if given in computed else f"{given} inputs computed at run time; it takes {computed[-1]}"


def _broadcast(node: Node) -> str:
    """ADD and MUL: shapes of different ranks broadcast from the right; MUL of one rank only one way."""
    if len(node.inputs) != 2:
        return f"{len(node.inputs)} inputs; it takes 2"
    a, b = node.operand(0).shape, node.operand(1).shape
    if len(a) != len(b):
        pairs = zip(reversed(a), reversed(b), strict=False)
        fits = min(len(a), len(b)) < 2 or all(x == y or 1 in (x, y) for x, y in pairs)
        return "" if fits else "shapes that do not broadcast"
    both_ways = any(x < y for x, y in zip(a, b, strict=True)) and any(x > y for x, y in zip(a, b, strict=True))
    return "both inputs broadcast" if node.name == "MUL" and both_ways else ""


def _depthwise(node: Node) -> str:
    if any(len(operand.shape) != 4 for operand in (node.operand(0), node.operand(1), node.outputs[0])):
        return "a tensor without 4 dimensions"
    channels, filters = node.operand(0).shape[3], node.operand(1).shape[3]
    return "several filters for each of several channels" if filters != channels != 1 else _inputs(node, (1, 2))


def _dense(node: Node) -> str:
    if node.operand(0).constant:
        return "a constant input"
    if node.option("weightsFormat"):
        return "shuffled weights"
    if node.option("keepNumDims") and len(node.operand(0).shape) != len(node.outputs[0].shape):
        return "an output of another rank than the input"
    return _inputs(node, (1, 2))


def _reduction(node: Node) -> str:
    axes = node.operand(1)
    return _inputs(node, (1,)) if axes.constant and axes.dtype == "int32" else "axes that are no int32 constant"


def _pad(node: Node) -> str:
    padding = node.operand(1).shape
    if padding not in ((3, 2), (4, 2)):
        return "padding of other than 3 or 4 dimensions"
    reflects = node.option("mode") == schema.MirrorPadMode.REFLECT
    return _inputs(node, (1,)) if node.name != "MIRROR_PAD" or reflects else "a padding mode other than REFLECT"


def _slice(node: Node) -> str:
    return "" if len(node.operand(0).shape) in (3, 4) else f"an input of {len(node.operand(0).shape)} dimensions"


def _strided_slice(node: Node) -> str:
    masks = [name for name in ("ellipsisMask", "newAxisMask", "shrinkAxisMask") if node.option(name)]
    return f"its option {masks[0]}" if masks else _slice(node)


def _resize(node: Node) -> str:
    both = node.name == "RESIZE_BILINEAR" and node.option("alignCorners") and node.option("halfPixelCenters")
    return "aligned corners and half-pixel centres at once" if both else _inputs(node, (1,))


_RULES: Mapping[str, Callable[[Node], str]] = {
    **dict.fromkeys((*_ONE_INPUT, "HARD_SWISH", "RESHAPE", "TRANSPOSE", "TILE"), lambda node: _inputs(node, (1,))),
    **dict.fromkeys(
        ("AVERAGE_POOL_2D", "MAX_POOL_2D", "QUANTIZE", "DEPTH_TO_SPACE", "SPACE_TO_DEPTH"),
        lambda node: _inputs(node, (1,)),
    ),
    **dict.fromkeys(_TWO_INPUTS, lambda node: _inputs(node, (1, 2))),
    **dict.fromkeys(("CONV_2D", "TRANSPOSE_CONV"), lambda node: _inputs(node, (1, 2))),
    **dict.fromkeys(_REDUCTIONS, _reduction),
    **dict.fromkeys(("ADD", "MUL"), _broadcast),
    **dict.fromkeys(("PAD", "PADV2", "MIRROR_PAD"), _pad),
    **dict.fromkeys(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"), _resize),
    "BATCH_MATMUL": lambda node: "" if len(node.inputs) == 2 else f"{len(node.inputs)} inputs; it takes 2",
    "DEPTHWISE_CONV_2D": _depthwise,
    "DEQUANTIZE": lambda node: "a tensor of int16" if node.operand(0).dtype == "int16" else "",
    "FULLY_CONNECTED": _dense,
    "SLICE": _slice,
    "SOFTMAX": lambda node: "" if node.option("beta") == 1 else "a factor beta other than 1",
    "STRIDED_SLICE": _strided_slice,
}
