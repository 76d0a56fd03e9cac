"""Models of one or two operators: what check_gpu says of each, and what LiteRT's GPU delegate makes of it.

    python tests/benchmarks/latency/gpu_operators.py [--only GATHER TOPK_V2]

Prints a Markdown table; ends with 1 where the rules and the delegate disagree. "right" is within 1% of the answers of
TensorFlow Lite's kernels for the CPU. The delegate runs on a software Vulkan driver (`keras-mobilenets targets`).
"""

import argparse
import datetime
import sys
import tempfile
from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from keras_mobilenets import tflite
from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.targets.accelerators import gpu
from keras_mobilenets.tflite.targets.litert_gpu import SEEN

IMAGE, VECTOR, MATRICES = (1, 8, 8, 4), (1, 12), (1, 2, 8, 8)
SAME = schema.Padding.SAME
RNG = np.random.default_rng(0)
ODD = {"MAXIMUM": "MaximumMinimum", "MINIMUM": "MaximumMinimum", "AVERAGE_POOL_2D": "Pool2D", "MAX_POOL_2D": "Pool2D",
       "MEAN": "Reducer", "SUM": "Reducer", "REDUCE_MAX": "Reducer", "REDUCE_MIN": "Reducer", "REDUCE_ANY": "Reducer",
       "REDUCE_ALL": "Reducer", "L2_NORMALIZATION": "L2Norm"}  # fmt: skip
OPTIONS = {name.lower(): name for name in vars(schema.BuiltinOptions)}


def number(value, dtype=np.float32):
    """A constant without dimensions."""
    return np.array(value, dtype)


def floats(*shape):
    """A constant of normal numbers."""
    return RNG.normal(size=shape).astype(np.float32)


def whole(*values):
    """A constant of int32."""
    return np.array(values, np.int32)


def op(name, *operands, out=IMAGE, dtype="float32", version=1, **options):
    """An operator; an operand that is a plain int is a tensor made before: 0 is the input, 1 the first result."""
    return name, operands, out if isinstance(out, list) else [out], dtype.split(), version, options


def model(source, steps, dtype="float32"):
    """The .tflite of an input's shape and its operators."""
    graph = schema.SubGraphT(tensors=[], operators=[])
    built = schema.ModelT(version=3, operatorCodes=[], buffers=[schema.BufferT()], subgraphs=[graph])

    def tensor(shape, dtype, values=None):
        if values is not None:
            built.buffers.append(schema.BufferT(data=np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)))
        step = {"int8": 0.05, "int32": 0.05**2 if quantized else 0}.get(dtype, 0)  # of an activation, of a bias
        quantization = schema.QuantizationParametersT(scale=np.float32([step]), zeroPoint=np.int64([0]))
        kind, buffer = getattr(schema.TensorType, dtype.upper()), 0 if values is None else len(built.buffers) - 1
        name = f"t{len(graph.tensors)}".encode()
        graph.tensors.append(schema.TensorT(whole(*shape), kind, buffer, name, quantization if step else None))
        return len(graph.tensors) - 1

    quantized = dtype == "int8"
    made = [tensor(source, dtype)]
    for name, operands, outs, dtypes, version, options in steps:
        inputs = [made[o] if isinstance(o, int) else tensor(o.shape, o.dtype.name, o) for o in operands]
        results = [tensor(shape, dtypes[min(i, len(dtypes) - 1)]) for i, shape in enumerate(outs)]
        kind = OPTIONS.get(f"{ODD.get(name, name.replace('_', ''))}Options".lower())
        said = getattr(schema, f"{kind}T")() if kind else None
        for option, value in options.items():
            setattr(said, option, value)
        code = getattr(schema.BuiltinOperator, name)
        built.operatorCodes.append(schema.OperatorCodeT(min(code, 127), version=version, builtinCode=code))
        numbers = len(built.operatorCodes) - 1, whole(*inputs), whole(*results)
        graph.operators.append(schema.OperatorT(*numbers, getattr(schema.BuiltinOptions, kind or "NONE"), said))
        made += results
    graph.inputs, graph.outputs = whole(made[0]), whole(made[-1])
    return flatbuffer.write(built)


POSITIVE, GREATER = op("ABS", 0), op("GREATER", 0, number(0), dtype="bool")
SQUEEZED = op("MEAN", 1, whole(1, 2), out=(1, 1, 1, 4), version=2, keepDims=True)
PADS = np.int32([[0, 0], [1, 1], [1, 1], [0, 0]])
CASES = {}  # (operator, what is special) to (shape of the input, operators[, dtype])


def case(name, special, *steps, source=IMAGE, dtype="float32"):
    """Adds a model to the table."""
    CASES[name, special] = source, steps, dtype


def one(name, special, *operands, source=IMAGE, before=(), after=(), **settings):
    """Adds a model of one operator, with others before and behind where they are needed."""
    case(name, special, *before, op(name, *operands, **settings), *after, source=source)


for name in ("ABS", "CEIL", "COS", "ELU", "EXP", "FLOOR", "GELU", "HARD_SWISH", "LOGISTIC", "NEG", "RELU", "RELU6",
             "RELU_0_TO_1", "RELU_N1_TO_1", "ROUND", "SIGN", "SIN", "SQUARE", "TANH", "L2_NORMALIZATION"):  # fmt: skip
    one(name, "", 0)
for name in ("LOG", "RSQRT", "SQRT"):
    one(name, "", 1, before=[POSITIVE])
for name in ("ADD", "DIV", "FLOOR_DIV", "FLOOR_MOD", "MAXIMUM", "MINIMUM", "MUL", "POW", "SQUARED_DIFFERENCE", "SUB"):
    for special, *operands in (
        ("the same twice", 1, 1), ("vector", 1, floats(4)), ("number", 1, number(2.5)),
        ("number first", number(2.5), 1), ("1×8×1×4", 1, floats(1, 8, 1, 4)),
    ):  # fmt: skip
        one(name, special, *operands, before=[POSITIVE])
    one(name, "rank 2", 1, number([1.5]), source=VECTOR, out=VECTOR, before=[op("ABS", 0, out=VECTOR)])
    case(name, "squeezed", POSITIVE, SQUEEZED, op(name, 1, 2))
    one(name, "both broadcast", 1, floats(1, 1, 8, 4), source=(1, 8, 1, 4), before=[op("ABS", 0, out=(1, 8, 1, 4))])
for name in ("ADD", "MUL"):
    one(name, "rank 4 and 2", 0, floats(8, 4))
    one(name, "rank 5", 0, floats(1, 4, 2, 3, 4), source=(1, 4, 2, 3, 4), out=(1, 4, 2, 3, 4))
for rank in (2, 3, 4):
    add = op("ADD", 0, np.full((1,) * rank, 40, np.int8), out=VECTOR, dtype="int8", version=2)
    case("ADD", f"int8, constant of rank {rank}, then MUL", add, op("MUL", 0, 1, out=VECTOR, dtype="int8", version=2),
         source=VECTOR, dtype="int8")  # fmt: skip
for name in ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN"):
    one(name, "space", 0, whole(1, 2), out=(1, 4), version=2)
    one(name, "channels", 0, whole(3), out=(1, 8, 8, 1), version=2, keepDims=True)
for name in ("REDUCE_ALL", "REDUCE_ANY"):
    one(name, "", 1, whole(1, 2), out=(1, 4), dtype="bool", before=[GREATER], after=[op("CAST", 2, out=(1, 4))])
for channels, share, filters in ((4, 4, 8), (4, 2, 8), (8, 4, 8), (8, 1, 8), (8, 4, 12), (8, 2, 16), (16, 8, 20)):
    one("CONV_2D", f"{channels // share} groups of {share}, {filters} filters", 0, floats(filters, 3, 3, share),
        floats(filters), source=(1, 8, 8, channels), out=(1, 8, 8, filters), version=1 if channels == share else 6,
        padding=SAME, strideH=1, strideW=1)  # fmt: skip
for multiplier in (1, 2, 4):
    filters = 4 * multiplier
    one("DEPTHWISE_CONV_2D", f"×{multiplier}", 0, floats(1, 3, 3, filters), floats(filters), out=(1, 8, 8, filters),
        padding=SAME, strideH=1, strideW=1, depthMultiplier=multiplier)  # fmt: skip
    kernel = RNG.integers(-9, 10, (1, 3, 3, filters)).astype(np.int8)
    depthwise = op("DEPTHWISE_CONV_2D", 0, kernel, whole(*range(filters)), out=(1, 8, 8, filters), dtype="int8",
        version=3, padding=SAME, strideH=1, strideW=1, depthMultiplier=multiplier)  # fmt: skip
    case("DEPTHWISE_CONV_2D", f"×{multiplier}, int8", depthwise, dtype="int8")
one("TRANSPOSE_CONV", "", whole(1, 16, 16, 8), floats(8, 3, 3, 4), 0, out=(1, 16, 16, 8), padding=SAME, strideH=2,
    strideW=2)  # fmt: skip
one("FULLY_CONNECTED", "", 0, floats(7, 12), floats(7), source=VECTOR, out=(1, 7))
one("FULLY_CONNECTED", "keeps dimensions", 0, floats(7, 4), floats(7), out=(1, 8, 8, 7), version=5, keepNumDims=True)
one("FULLY_CONNECTED", "flattens", 0, floats(7, 256), floats(7), out=(1, 7))
one("BATCH_MATMUL", "the same twice", 0, 0, source=MATRICES, out=MATRICES)
case("BATCH_MATMUL", "", op("ABS", 0, out=MATRICES), op("BATCH_MATMUL", 0, 1, out=MATRICES), source=MATRICES)
for name in ("AVERAGE_POOL_2D", "MAX_POOL_2D"):
    one(name, "", 0, out=(1, 4, 4, 4), padding=SAME, strideH=2, strideW=2, filterWidth=3, filterHeight=3)
one("SOFTMAX", "", 0, source=VECTOR, out=VECTOR, beta=1.0)
one("SOFTMAX", "beta 2", 0, source=VECTOR, out=VECTOR, beta=2.0)
one("LOG_SOFTMAX", "", 0, source=VECTOR, out=VECTOR)
one("RESHAPE", "", 0, whole(1, 256), out=(1, 256))
one("RESHAPE", "rank 5", 0, whole(1, 8, 4, 2, 4), out=(1, 8, 4, 2, 4))
one("TRANSPOSE", "", 0, whole(0, 3, 1, 2), out=(1, 4, 8, 8))
one("EXPAND_DIMS", "", 0, number(1, np.int32), source=(1, 8, 4), out=(1, 1, 8, 4))
one("SQUEEZE", "", 0, source=(1, 1, 8, 4), out=(1, 8, 4), squeezeDims=whole(1))
one("CONCATENATION", "", 0, 0, out=(1, 8, 8, 8), axis=3)
one("PAD", "", 0, PADS, out=(1, 10, 10, 4))
one("PAD", "rank 2", 0, np.int32([[0, 0], [1, 1]]), source=VECTOR, out=(1, 14))
one("MIRROR_PAD", "reflect", 0, PADS, out=(1, 10, 10, 4), mode=0)
one("MIRROR_PAD", "symmetric", 0, PADS, out=(1, 10, 10, 4), mode=1)
one("SLICE", "", 0, whole(0, 1, 1, 0), whole(1, 4, 4, 2), out=(1, 4, 4, 2))
one("SLICE", "rank 2", 0, whole(0, 3), whole(1, 4), source=VECTOR, out=(1, 4))
one("STRIDED_SLICE", "", 0, whole(0, 0, 0, 0), whole(1, 8, 8, 4), whole(1, 2, 2, 1), out=(1, 4, 4, 4))
one("STRIDED_SLICE", "rank 2", 0, whole(0, 2), whole(1, 10), whole(1, 2), source=VECTOR, out=(1, 4))
one("STRIDED_SLICE", "backwards", 0, whole(0, -1, 0, 0), whole(1, -9, 8, 4), whole(1, -1, 1, 1))
one("STRIDED_SLICE", "takes an axis out", 0, whole(0, 1, 0, 0), whole(1, 2, 8, 4), whole(1, 1, 1, 1), out=(1, 8, 4),
    shrinkAxisMask=2)  # fmt: skip
one("SPLIT", "", number(3, np.int32), 0, out=[(1, 8, 8, 2)] * 2, numSplits=2)
one("TILE", "", 0, whole(1, 2, 1, 1), out=(1, 16, 8, 4))
one("PACK", "the same twice", 0, 0, source=(1, 8, 4), out=(1, 2, 8, 4), axis=1, valuesCount=2)
case(
    "PACK", "", op("ABS", 0, out=(1, 8, 4)), op("PACK", 0, 1, out=(1, 2, 8, 4), axis=1, valuesCount=2), source=(1, 8, 4)
)
one("UNPACK", "", 0, source=(1, 2, 8, 4), out=[(1, 8, 4)] * 2, axis=1, num=2)
one("DEPTH_TO_SPACE", "", 0, out=(1, 16, 16, 1), blockSize=2)
one("SPACE_TO_DEPTH", "", 0, out=(1, 4, 4, 16), blockSize=2)
for name in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"):
    one(name, "", 0, whole(16, 16), out=(1, 16, 16, 4))
    one(name, "half-pixel centres", 0, whole(16, 16), out=(1, 16, 16, 4), version=3, halfPixelCenters=True)
for name in ("ARG_MAX", "ARG_MIN"):
    one(name, "", 0, whole(3), out=(1, 8, 8), dtype="int32", outputType=schema.TensorType.INT32)
one("ARG_MAX", "int64", 0, whole(3), out=(1, 8, 8), dtype="int64", outputType=schema.TensorType.INT64)
for special, last in (("values", op("ABS", 1, out=(1, 3))), ("places", op("CAST", 2, out=(1, 3)))):
    top = op("TOPK_V2", 0, number(3, np.int32), out=[(1, 3)] * 2, dtype="float32 int32")
    case("TOPK_V2", special, top, last, source=VECTOR)
one("GATHER", "", 0, whole(3, 1, 2), out=(1, 8, 8, 3), axis=3)
one("GATHER", "one place", 0, number(2, np.int32), out=(1, 8, 4), axis=1)
one("GATHER_ND", "", 0, np.int32([[[0, 1], [0, 3]]]), out=(1, 2, 8, 4))
case("EMBEDDING_LOOKUP", "", op("ABS", 0, out=(1,)), op("CAST", 1, out=(1,), dtype="int32"),
     op("EMBEDDING_LOOKUP", 2, floats(20, 8), out=(1, 8)), source=(1,))  # fmt: skip
one("CAST", "", 0, dtype="int32", after=[op("CAST", 1)])
for name in ("EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"):
    one(name, "", 0, floats(4), dtype="bool", after=[op("CAST", 1)])
for name in ("SELECT", "SELECT_V2"):
    case(name, "", GREATER, POSITIVE, op(name, 1, 0, 2))
for name in ("LOGICAL_AND", "LOGICAL_OR"):
    case(name, "", GREATER, op("LESS", 0, number(1), dtype="bool"), op(name, 1, 2, dtype="bool"), op("CAST", 3))
    case(name, "constant", GREATER, op(name, 1, np.array([True, False] * 2), dtype="bool"), op("CAST", 2))
case("LOGICAL_NOT", "", GREATER, op("LOGICAL_NOT", 1, dtype="bool"), op("CAST", 2))
case("ONE_HOT", "", op("CAST", 0, out=(1, 6), dtype="int32"),
     op("ONE_HOT", 1, number(5, np.int32), number(1), number(0), out=(1, 6, 5), axis=-1), source=(1, 6))  # fmt: skip
one("CUMSUM", "", 0, number(1, np.int32))
for option in ("exclusive", "reverse"):
    one("CUMSUM", option, 0, number(3, np.int32), **{option: True})
one("CUMSUM", "axis from the end", 0, number(-1, np.int32))
one("REVERSE_V2", "", 0, whole(1))
one("ADD_N", "", 0, 0, 0)


def outcome(path):
    """What the delegate makes of a model, in words: "right", or what is wrong."""
    plain = Interpreter(str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    plain.allocate_tensors()
    source, sink = plain.get_input_details()[0], plain.get_output_details()[0]
    values = RNG.uniform(-1, 1, source["shape"]) * (100 if source["dtype"] == np.int8 else 6)
    values = values.astype(source["dtype"])
    plain.set_tensor(source["index"], values)
    plain.invoke()
    expected = plain.get_tensor(sink["index"]).astype(np.float64)
    try:
        check = gpu.check(path)
        if left := {operator.reason for operator in check.refused if operator.source != SEEN}:
            return check.blocked or "; ".join(left)
        found = gpu.run(path, values).astype(np.float64)
    except UserError as error:
        return str(error).replace(f"{path} ", "").replace(f"{path.name} on the GPU delegate ", "").splitlines()[0]
    difference = np.abs(found.reshape(expected.shape) - expected).max()
    return "right" if difference <= 0.01 * np.abs(expected).max() else f"wrong by {difference:.3g}"


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], help="these operators alone")
    only = parser.parse_args().only
    gpu.ENVIRONMENT.require()
    print(f"{datetime.date.today()}, rules with {SEEN}\n\n| operator | | check_gpu | delegate |")
    print("| --- | --- | --- | --- |")
    differ = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.tflite"
        for (name, special), (source, steps, dtype) in CASES.items():
            if only and name not in only:
                continue
            path.write_bytes(model(source, steps, dtype))
            check = tflite.check_gpu(path)
            reason = next((op.reason for op in check.refused if op.name == name), "") or check.blocked
            found = outcome(path)
            agrees = check.ok == (found == "right")
            differ += not agrees
            print(
                f"| {name} | {special} | {reason or 'ok'} | {found}{'' if agrees else ' **(differs)**'} |", flush=True
            )
    sys.exit(differ > 0)


if __name__ == "__main__":
    main()
