"""What the NNAPI delegate takes: whole models, single rules, the partitions, and files that are none."""

from types import SimpleNamespace

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

import keras_mobilenets as km
from keras_mobilenets import tflite
from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.runtime.interpreter import open_model
from keras_mobilenets.tflite.targets.delegate_graph import Node, Operand, graph_of
from keras_mobilenets.tflite.targets.nnapi_rules import RULES
from keras_mobilenets.tflite.targets.partitions import partitions

FAMILIES = ("MobileNetV1", "MobileNetV2", "MobileNetV3Small")


@pytest.fixture(scope="module")
def models():
    """One model of each family at the smallest size: name to Keras model."""
    return {
        name: km.create_model(name, input_shape=(32, 32, 3), alpha=0.5 if "V3" in name else 0.35, classes=8)
        for name in FAMILIES
    }


@pytest.fixture(scope="module")
def nnapi_files(models, pixels, tmp_path_factory):
    """Each family in int8 for NNAPI: name to path."""
    folder = tmp_path_factory.mktemp("nnapi")
    return {
        name: tflite.convert(
            model, folder / f"{name}.tflite", quantize="int8", effort="low", calibration=pixels, target="nnapi"
        )
        for name, model in models.items()
    }


@pytest.fixture
def edited(tmp_path):
    """Writes a .tflite with a change made to its tables."""

    def edit(path, change):
        model = flatbuffer.read(path.read_bytes())
        change(model, model.subgraphs[0])
        out = tmp_path / "edited.tflite"
        out.write_bytes(flatbuffer.write(model))
        return out

    return edit


def first(model, graph, name):
    """The first operator of a name, and its code in the table of operators."""
    operator = next(op for op in graph.operators if flatbuffer.operator_name(model, op) == name)
    return operator, model.operatorCodes[operator.opcodeIndex]


class TestWholeModels:
    @pytest.mark.parametrize("name", FAMILIES)
    @pytest.mark.parametrize("level", [29, 30, 31, 35])
    def test_int8_for_nnapi_is_fully_delegated(self, nnapi_files, name, level):
        check = tflite.check_nnapi(nnapi_files[name], level)
        assert check.ok, check
        assert (check.delegated, check.partitions, check.macs_share) == (check.total, 1, 1.0)
        assert (
            check.summary == f"{check.total} of {check.total} operators delegated in 1 partition at API level {level}"
        )

    @pytest.mark.parametrize("level", [27, 28])
    def test_before_level_29_no_int8_convolution_is_delegated(self, nnapi_files, level):
        check = tflite.check_nnapi(nnapi_files["MobileNetV2"], level)
        assert not check.ok
        assert check.macs_share == 0
        assert {op.name for op in check.refused} >= {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}
        convolution = check.operators[0]
        assert convolution.reason.startswith("the input is int8; allowed are float32, uint8")
        assert convolution.source == "nnapi_delegate.cc:2448, 2454"

    def test_hard_swish_is_delegated_at_every_level(self, nnapi_files):
        # Below level 30 the delegate builds it from ADD, MUL and RELU1; only small partitions are left aside then.
        for level in (27, 28, 29, 30):
            check = tflite.check_nnapi(nnapi_files["MobileNetV3Small"], level)
            reasons = {op.reason.split(";")[0] for op in check.refused if op.name == "HARD_SWISH"}
            assert reasons <= {"a small partition"}

    def test_dense_per_channel_blocks_the_whole_delegate(self, models, pixels, tmp_path):
        # The rules let its version 4 pass, but NNAPI has no such FULLY_CONNECTED and fails to build the model.
        model = models["MobileNetV1"]
        path = tflite.convert(
            model, tmp_path / "x.tflite", quantize="int8", effort="low", calibration=pixels, target="xnnpack"
        )
        check = tflite.check_nnapi(path, 31)
        assert (check.delegated, check.partitions, check.macs_share, check.ok) == (0, 0, 0, False)
        assert "weights of one scale per channel" in check.summary
        assert check.summary.endswith('convert with target="nnapi"')
        assert str(check).count("weights of one scale per channel") == 1

    def test_share_of_multiply_adds_without_the_dense_layer(self, models, nnapi_files, edited):
        def change(model, graph):
            first(model, graph, "FULLY_CONNECTED")[1].version = 12

        model = models["MobileNetV1"]
        check = tflite.check_nnapi(edited(nnapi_files["MobileNetV1"], change), 31)
        (refused,) = check.refused
        assert (refused.name, refused.source) == ("FULLY_CONNECTED", "nnapi_delegate.cc:2506")
        dense = np.prod(model.layers[-1].kernel.shape)
        assert check.macs_share == pytest.approx(1 - dense / km.cost(model).macs, abs=1e-9)
        assert check.partitions == 2  # the softmax behind it is the second

    @pytest.mark.parametrize(("quantize", "level", "fully_delegated"), [("float16", 29, True), ("float16", 27, False)])
    def test_float16_weights_are_read_directly_in_a_model_fully_delegated(
        self, models, tmp_path, quantize, level, fully_delegated
    ):
        path = tflite.convert(models["MobileNetV2"], tmp_path / "h.tflite", quantize=quantize)
        check = tflite.check_nnapi(path, level)
        assert check.ok is fully_delegated
        dequantized = [op for op in check.operators if op.name == "DEQUANTIZE"]
        assert dequantized and all(op.delegated is fully_delegated for op in dequantized)
        if not fully_delegated:  # the mean needs level 28, and it cuts the model in two
            assert check.partitions == 2
            assert {op.name for op in check.refused} == {"DEQUANTIZE", "MEAN"}

    def test_weights_in_int8_with_float_activations_lose_their_depthwise_layers(self, models, tmp_path):
        path = tflite.convert(models["MobileNetV2"], tmp_path / "d.tflite", quantize="dynamic")
        check = tflite.check_nnapi(path, 31)
        assert {op.name for op in check.refused} >= {"DEPTHWISE_CONV_2D"}
        assert any(op.reason.startswith("version") for op in check.refused)

    def test_a_free_batch_blocks_the_whole_delegate(self, tmp_path):
        import keras
        import tensorflow as tf

        inputs = keras.Input((8, 8, 3))
        x = keras.layers.Reshape((1, 1, 8))(keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(8, 3)(inputs)))
        converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(inputs, keras.layers.Conv2D(4, 1)(x)))
        path = tmp_path / "free.tflite"
        path.write_bytes(converter.convert())
        check = tflite.check_nnapi(path, 31)
        assert check.delegated == 0 and check.partitions == 0
        assert "convert with batch size 1" in check.blocked
        assert "no fixed size" in check.summary
        reasons = {op.name: op.reason for op in check.operators}
        assert reasons["SHAPE"] == "the delegate does not know this operator"
        assert "stored" not in reasons["CONV_2D"] and reasons["CONV_2D"] == check.blocked

    def test_page_names_refusals_once_each(self, nnapi_files):
        page = str(tflite.check_nnapi(nnapi_files["MobileNetV2"], 27))
        assert page.count("DEPTHWISE_CONV_2D 1, ") == 1
        assert "API level 27, feature level 1" in page


class TestEditedModels:
    def test_unknown_operator(self, tflite_files, edited):
        def change(model, graph):
            operator, code = first(model, graph, "SOFTMAX")
            code.builtinCode, code.deprecatedBuiltinCode = schema.BuiltinOperator.GELU, 127
            operator.builtinOptions = schema.GeluOptionsT()
            operator.builtinOptionsType = schema.BuiltinOptions.GeluOptions

        check = tflite.check_nnapi(edited(tflite_files["float32"], change), 35)
        assert [op.reason for op in check.refused] == ["the delegate does not know this operator"]
        assert check.refused[0].source == "nnapi_delegate.cc:3602"
        assert check.summary.endswith("GELU refused (the delegate does not know this operator)")

    def test_operator_version(self, tflite_files, edited):
        path = edited(tflite_files["float32"], lambda m, g: setattr(first(m, g, "DEPTHWISE_CONV_2D")[1], "version", 4))
        (refused,) = tflite.check_nnapi(path, 31).refused
        assert refused.reason == "version 4 of the operator; the delegate knows up to 3"

    def test_missing_bias(self, tflite_files, edited):
        def change(model, graph):
            operator, _ = first(model, graph, "CONV_2D")
            operator.inputs = operator.inputs[:2]

        (refused,) = tflite.check_nnapi(edited(tflite_files["float32"], change), 31).refused
        assert (refused.reason, refused.source) == ("it has no bias", "nnapi_delegate.cc:2468")

    @pytest.mark.parametrize(("level", "ok"), [(28, False), (29, True)])
    def test_dilation(self, tflite_files, edited, level, ok):
        def change(model, graph):
            first(model, graph, "CONV_2D")[0].builtinOptions.dilationWFactor = 2

        check = tflite.check_nnapi(edited(tflite_files["float32"], change), level)
        assert check.ok is ok
        assert ok or check.refused[0].reason == "dilation needs API level 29"

    @pytest.mark.parametrize(("level", "ok"), [(29, False), (30, True)])
    def test_dense_that_keeps_dimensions(self, tflite_files, edited, level, ok):
        def change(model, graph):
            first(model, graph, "FULLY_CONNECTED")[0].builtinOptions.keepNumDims = True

        assert tflite.check_nnapi(edited(tflite_files["float32"], change), level).ok is ok

    def test_per_channel_dense_of_version_12_is_refused_alone(self, nnapi_files, edited):
        def change(model, graph):
            operator, code = first(model, graph, "FULLY_CONNECTED")
            weights = graph.tensors[operator.inputs[1]].quantization
            weights.scale, weights.zeroPoint = np.repeat(weights.scale, 8), np.zeros(8, np.int64)
            code.version = 12

        (refused,) = tflite.check_nnapi(edited(nnapi_files["MobileNetV1"], change), 31).refused
        assert refused.name == "FULLY_CONNECTED"
        assert refused.reason.startswith("weights of one scale per channel (version 12")

    def test_int16_passes_some_rules_and_fails_to_build(self, tflite_files, edited):
        def change(model, graph):
            for tensor in (graph.operators[0].inputs[0], graph.operators[0].outputs[0]):
                graph.tensors[tensor].type = schema.TensorType.INT16

        check = tflite.check_nnapi(edited(tflite_files["float32"], change), 31)
        assert check.delegated == 0
        assert check.blocked == "CONV_2D 0 has a tensor of int16, with which NNAPI builds no model"

    def test_a_model_without_multiply_adds_has_no_share(self, tflite_files, edited):
        def change(model, graph):
            graph.operators = graph.operators[-1:]
            graph.inputs = graph.operators[0].inputs

        check = tflite.check_nnapi(edited(tflite_files["float32"], change))
        assert (check.total, check.ok, check.macs_share) == (1, True, None)


class TestPartitions:
    @pytest.mark.parametrize("name", FAMILIES)
    def test_cut_is_the_runtimes(self, nnapi_files, name):
        # XNNPACK leaves other operators aside, but the same code of the runtime cuts what it takes.
        opened = open_model(nnapi_files[name])
        operators = [op for op in opened._operators() if op["op_name"] != "DELEGATE"]
        delegated = runtime_delegated(opened)
        graph = graph_of(flatbuffer.read(nnapi_files[name].read_bytes()))
        assert len(operators) == len(graph.nodes)
        found = partitions(graph, delegated)
        assert (len(operators), sum(map(len, found)), len(found)) == opened.delegation()
        assert set().union(*found) == delegated

    def test_only_the_three_largest_partitions_are_delegated(self, nnapi_files, edited):
        def change(model, graph):  # every depthwise convolution of a version that does not exist yet
            first(model, graph, "DEPTHWISE_CONV_2D")[1].version = 9

        check = tflite.check_nnapi(edited(nnapi_files["MobileNetV1"], change), 31)
        assert check.partitions == 14
        assert sum("small partition" in op.reason for op in check.refused) == 11
        assert "in the 3 largest of 14 partitions" in check.summary


def runtime_delegated(opened):
    """The operators that XNNPACK runs, found from the runtime's list of its partitions."""
    operators = opened._operators()
    plain = [op for op in operators if op["op_name"] != "DELEGATE"]
    maker = {int(t): i for i, op in enumerate(plain) for t in op["outputs"]}
    delegated = set()
    for partition in (op for op in operators if op["op_name"] == "DELEGATE"):
        stop, todo = {int(t) for t in partition["inputs"]}, [int(t) for t in partition["outputs"]]
        while todo:
            tensor = todo.pop()
            if tensor not in stop and tensor in maker and maker[tensor] not in delegated:
                delegated.add(maker[tensor])
                todo += [int(t) for t in plain[maker[tensor]]["inputs"]]
    return delegated


def operand(dtype="float32", shape=(1, 8, 8, 4), *, constant=False, scales=(), zero_point=0, data=None):
    stored = None if data is None else np.asarray(data, dtype).view(np.uint8)
    return Operand(dtype, tuple(shape), constant or data is not None, tuple(scales), zero_point, stored)


def node(name, *inputs, version=1, output=None, **options):
    inputs = inputs or (operand(),)
    return Node(name, version, SimpleNamespace(**options), tuple(inputs), (output or inputs[0],))


def int8(*shape, **more):
    return operand("int8", shape or (1, 8, 8, 4), scales=(0.1,), **more)


def indices(*values, constant=True):
    data = values if constant else None
    return operand("int32", (len(values),), constant=constant, data=data)


UINT8 = operand("uint8", scales=(0.1,))
INT32 = operand("int32")
WIDE = operand(shape=(1, 2, 3, 4, 5))
SCALAR = operand(shape=())
FILTER = operand("uint8", (4, 1, 1, 4), scales=(0.1,))
PER_CHANNEL = operand("int8", (4, 1, 1, 4), scales=(0.1, 0.2, 0.1, 0.2))


LETTERS = {"f": "float32", "h": "float16", "u": "uint8", "i": "int8", "3": "int32", "s": "int16", "b": "bool"}
ALL = "fhui3sb"  # the rules do not look at the dtype

# Once more from nnapi_delegate.cc, by hand and apart from the rules: the highest version (0: none is asked for), the
# first API level, and the dtypes of the first input from a level on.
DOUBLE_ENTRY = {
    "ADD": (2, 27, {27: "fui", 30: "fui3"}),
    "SUB": (3, 28, {28: "f", 29: "fui", 30: "fui3"}),
    "MUL": (3, 27, {27: "fui", 30: "fui3"}),
    "DIV": (1, 28, {28: "f"}),
    "SQUARED_DIFFERENCE": (2, 28, {28: "f", 29: "fu", 30: "fui3"}),
    "ARG_MAX": (2, 29, {29: "fhui3"}),
    "ARG_MIN": (2, 29, {29: "fhui3"}),
    "AVERAGE_POOL_2D": (2, 27, {27: "fui"}),
    "MAX_POOL_2D": (2, 27, {27: "fui"}),
    "L2_POOL_2D": (1, 27, {27: "f"}),
    "CONV_2D": (5, 27, {27: "fu", 29: ALL}),
    "DEPTHWISE_CONV_2D": (3, 27, {27: "fu", 29: ALL}),
    "FULLY_CONNECTED": (5, 27, {27: "fu", 29: ALL}),
    "HARD_SWISH": (0, 27, {27: "fui"}),
    "SOFTMAX": (2, 27, {27: "fui"}),
    "RESHAPE": (1, 27, {27: "fui"}),
    "RESIZE_BILINEAR": (3, 27, {27: "f", 29: "fui"}),
    "RESIZE_NEAREST_NEIGHBOR": (3, 29, {29: "fui"}),
    "SQUEEZE": (1, 28, {28: ALL}),
    "EXPAND_DIMS": (1, 29, {29: "fhui3"}),
    "L2_NORMALIZATION": (2, 27, {27: "f", 29: ALL}),
    "CONCATENATION": (2, 27, {27: "fhui"}),
    "QUANTIZE": (2, 29, {29: "fui"}),
    "FLOOR": (1, 27, {27: ALL}),
    "RELU": (2, 27, {27: "fui"}),
    "RELU6": (2, 27, {27: "fui"}),
    "RELU_N1_TO_1": (2, 27, {27: "fui"}),
    "LOGISTIC": (2, 27, {27: "fui"}),
    "TANH": (2, 27, {27: "f", 29: "fui"}),
    "ELU": (1, 30, {30: "f"}),
    "LEAKY_RELU": (1, 29, {29: "fui"}),
    "PRELU": (1, 29, {29: "fui"}),
    "LOG_SOFTMAX": (1, 29, {29: "f"}),
    "PAD": (2, 28, {28: "fui"}),
    "PADV2": (2, 28, {28: "fui"}),
    "STRIDED_SLICE": (2, 28, {28: "fui"}),
    "SLICE": (2, 29, {29: "fui3"}),
    "TRANSPOSE": (2, 28, {28: ALL}),
    **dict.fromkeys(("ABS", "EXP", "LOG", "POW", "SIN", "COS", "SQRT"), (1, 29, {29: "f"})),
    "RSQRT": (2, 29, {29: "f"}),
    "NEG": (2, 29, {29: "f3"}),
    "TRANSPOSE_CONV": (3, 29, {29: ALL}),
    "SPACE_TO_DEPTH": (2, 27, {27: "fui"}),
    "DEPTH_TO_SPACE": (0, 27, {27: "fui"}),
    "SPACE_TO_BATCH_ND": (2, 28, {28: ALL}),
    "BATCH_TO_SPACE_ND": (2, 28, {28: ALL}),
    "MEAN": (2, 28, {28: "f", 29: "fui"}),
    "SUM": (1, 29, {29: "f"}),
    "REDUCE_PROD": (1, 29, {29: "f"}),
    "REDUCE_MAX": (2, 29, {29: "fui"}),
    "REDUCE_MIN": (2, 29, {29: "fui"}),
    "REDUCE_ANY": (2, 29, {29: ALL}),
    "MAXIMUM": (3, 29, {29: "fui3"}),
    "MINIMUM": (3, 29, {29: "fui3"}),
    "CAST": (1, 29, {29: "fu3", 30: "fui3"}),
    "TILE": (1, 29, {29: "fui3"}),
    **dict.fromkeys(("LOGICAL_AND", "LOGICAL_OR", "LOGICAL_NOT"), (1, 29, {29: "b"})),
    **dict.fromkeys(("LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL", "EQUAL", "NOT_EQUAL"), (2, 29, {29: "fui3b"})),
    "TOPK_V2": (2, 29, {29: "fui3"}),
    "SELECT": (2, 29, {29: "fui3"}),
    "GATHER": (2, 29, {29: "fhui3"}),
    "SPLIT": (3, 29, {29: "fu3", 30: "fui3"}),
    "SPLIT_V": (2, 30, {30: "fui3"}),
    "FILL": (1, 30, {30: "3"}),
    "PACK": (2, 30, {30: "fi"}),
    "UNPACK": (2, 30, {30: "fui"}),
    "DENSIFY": (0, 30, {30: ALL}),
}


class TestRules:
    """Each rule on both sides of its border: (operator, level that refuses, word of the reason, level that takes)."""

    @pytest.mark.parametrize(
        ("operator", "refused_at", "word", "delegated_at"),
        [
            (node("ADD", INT32, INT32), 29, "int32", 30),
            (node("ADD", INT32, INT32, fusedActivationFunction=1), 30, "activation", None),
            (node("ADD", operand("int16"), operand("int16")), 35, "int16", None),
            (node("ADD", operand(), WIDE), 35, "the second input has 5 dimensions", None),
            (node("ADD", int8(), int8(), version=2), None, "", 27),
            (node("ADD", operand(), operand(), version=3), 35, "version 3", None),
            (node("MUL", int8(), int8(), version=3), 28, "version 3", 29),
            (node("SUB", operand(), operand()), 27, "API level 28", 28),
            (node("SUB", int8(), int8(), version=2), 28, "int8", 29),
            (node("DIV", int8(), int8()), 35, "int8", None),
            (node("AVERAGE_POOL_2D", int8(), version=2, filterWidth=17, filterHeight=17), 28, "256", 29),
            (node("AVERAGE_POOL_2D", filterWidth=17, filterHeight=17), None, "", 27),
            (node("MAX_POOL_2D", operand("int16")), 35, "int16", None),
            (node("CONV_2D", UINT8, FILTER, INT32, output=operand("uint8", scales=(0.005,))), 28, "scales", 29),
            (node("CONV_2D", UINT8, FILTER, INT32, output=operand("uint8", scales=(0.05,))), None, "", 27),
            (
                node("CONV_2D", operand(), operand("int8", (4, 1, 1, 4), scales=(0.1,)), operand()),
                28,
                "float input",
                29,
            ),
            (node("CONV_2D", operand(), operand(shape=(4, 1, 1, 2)), operand()), 28, "grouped", 29),
            (node("DEPTHWISE_CONV_2D", operand(), operand(), operand(), dilationHFactor=2), 28, "dilation", 29),
            (node("FULLY_CONNECTED", int8(), int8(), version=7), 35, "version 7", None),
            (node("HARD_SWISH", operand("int16")), 35, "int16", None),
            (node("HARD_SWISH", int8()), None, "", 27),
            (node("SOFTMAX", operand(shape=(1, 2, 3))), 28, "2 or 4", 29),
            (node("SOFTMAX", WIDE), 35, "up to 4", None),
            (node("SOFTMAX", int8(), version=2, output=operand("int16")), 35, "the output is int16", None),
            (node("RESHAPE", operand(), indices(1, 2, constant=False)), 35, "run time", None),
            (node("RESHAPE", operand(), indices(1, 256)), None, "", 27),
            (node("RESHAPE", operand(), newShape=[0]), 35, "scalar", None),
            (node("RESHAPE", INT32, indices(1, 256)), 35, "int32", None),
            (node("RESHAPE", WIDE, indices(120)), 35, "5 dimensions", None),
            (node("RESHAPE", operand(), indices(1), output=WIDE), 35, "more than 4", None),
            (node("RESIZE_BILINEAR", operand(), indices(4, 4), halfPixelCenters=True, version=3), 29, "half_pixel", 30),
            (node("RESIZE_BILINEAR", operand(), indices(4, 4), alignCorners=True), 29, "align_corners", 30),
            (node("RESIZE_BILINEAR", operand(), indices(4, 2), output=operand(shape=(1, 4, 2, 4))), 28, "square", 29),
            (node("RESIZE_NEAREST_NEIGHBOR", operand(), indices(4, 4)), 28, "API level 29", 29),
            (node("RESIZE_NEAREST_NEIGHBOR", operand(), indices(4, 4, constant=False)), 35, "the size", None),
            (node("SQUEEZE"), 28, "named", 29),
            (node("SQUEEZE", squeezeDims=[1, 2]), 27, "API level 28", 28),
            (node("EXPAND_DIMS", operand(), indices(1)), 28, "API level 29", 29),
            (node("EXPAND_DIMS", operand(), operand("int64", (1,), data=[1])), 35, "int32", None),
            (node("L2_NORMALIZATION", operand(shape=(1, 8))), 28, "4 before", 29),
            (node("L2_NORMALIZATION", fusedActivationFunction=1), 35, "activation", None),
            (node("CONCATENATION", UINT8, operand("uint8", scales=(0.2,))), 28, "same scale", 29),
            (node("CONCATENATION", operand(), operand(), fusedActivationFunction=3), 35, "activation", None),
            (node("CONCATENATION", INT32, INT32), 35, "int32", None),
            (node("DEQUANTIZE", int8(zero_point=3), version=2, output=operand()), 29, "zero point", 30),
            (node("DEQUANTIZE", int8(), version=2, output=operand()), 28, "int8", 29),
            (node("DEQUANTIZE", operand("int16", scales=(1.0,)), version=3, output=operand()), 35, "int16", None),
            (node("QUANTIZE", operand(), output=int8()), 29, "the output is int8", 30),
            (node("QUANTIZE", operand(), output=UINT8), 28, "API level 29", 29),
            (node("QUANTIZE", operand(), output=operand("int16", scales=(1.0,))), 35, "int16", None),
            (node("QUANTIZE", operand("int8"), output=int8()), 35, "no scale", None),
            (node("LOGISTIC", int8(), version=2), None, "", 27),
            (node("LOGISTIC", operand("int16"), version=3), 35, "version 3", None),
            (node("TANH", int8(), version=2), 28, "int8", 29),
            (node("RELU", int8(), version=2), None, "", 27),
            (node("RELU6", operand("int16")), 35, "int16", None),
            (node("RELU_N1_TO_1", INT32), 35, "int32", None),
            (node("ELU"), 29, "API level 30", 30),
            (node("PRELU", operand(), operand()), 28, "API level 29", 29),
            (node("LEAKY_RELU", int8(), version=2), 35, "version 2", None),
            (node("PAD", int8(), indices(0, 1), version=2), 28, "float32 is padded", 29),
            (node("PAD", operand(), indices(0, 1)), 27, "API level 28", 28),
            (node("PADV2", operand(), indices(0, 1), SCALAR), 28, "padding value", 29),
            (node("PAD", operand(shape=(1, 0, 8, 4)), indices(0, 1)), 35, "no elements", None),
            (node("MIRROR_PAD", operand(), indices(0, 1)), 35, "feature level 7", None),
            (node("STRIDED_SLICE", INT32, indices(0), indices(1), indices(1)), 35, "int32", None),
            (node("STRIDED_SLICE", int8(), indices(0), indices(1), indices(1), version=2), 27, "API level 28", 28),
            (node("SLICE", operand(), operand("int64"), indices(1)), 35, "the start is int64", None),
            (node("TRANSPOSE", operand(), indices(0, 3, 1, 2, constant=False)), 35, "permutation", None),
            (node("TRANSPOSE", operand(), indices(0, 3, 1, 2)), 27, "API level 28", 28),
            (node("ABS", int8()), 35, "int8", None),
            (node("EXP"), 28, "API level 29", 29),
            (node("RSQRT", int8(), version=2), 35, "int8", None),
            (node("TRANSPOSE_CONV", indices(1, 8, 8, 4), operand(data=np.zeros((1, 8, 8, 4)))), 28, "API level 29", 29),
            (node("TRANSPOSE_CONV", indices(1, constant=False), operand(constant=True)), 35, "output's shape", None),
            (node("SPACE_TO_DEPTH", INT32), 35, "int32", None),
            (node("DEPTH_TO_SPACE", int8()), None, "", 27),
            (node("MEAN", int8(), indices(1, 2), version=2), 28, "int8", 29),
            (node("MEAN", operand(), indices(1, 2)), 27, "API level 28", 28),
            (node("MEAN", operand(), indices(0), output=SCALAR), 35, "scalar", None),
            (node("MEAN", WIDE, indices(1)), 35, "5 dimensions", None),
            (node("SUM", int8(), indices(1)), 35, "int8", None),
            (node("REDUCE_MAX", int8(), indices(1), version=2), 28, "API level 29", 29),
            (node("MINIMUM", int8(), int8(), version=2), 28, "API level 29", 29),
            (node("MAXIMUM", operand(), SCALAR), 35, "scalar input", None),
            (node("MAXIMUM", operand(), operand(shape=(), constant=True)), 28, "API level 29", 29),
            (node("CAST", int8(), output=operand()), 29, "int8", 30),
            (node("SPLIT", indices(3), int8(), version=2), 29, "the input is int8", 30),
            (node("SPLIT", indices(3, constant=False), operand()), 35, "the axis", None),
            (node("SPLIT_V", operand(), indices(4, 0), indices(3), version=2), 35, "empty", None),
            (node("PACK", INT32, INT32), 35, "int32", None),
            (node("PACK", operand(), operand(), axis=4), 35, "last", None),
            (node("PACK", operand(), operand(), axis=1), 29, "API level 30", 30),
            (node("BATCH_MATMUL", operand(), operand()), 35, "feature level 6", None),
            (node("ARG_MAX", operand(), indices(1), output=operand("int64")), 35, "the output is int64", None),
            (node("GATHER", operand(), SCALAR), 35, "positions", None),
            (node("ADD", WIDE, operand()), 35, "the input has 5 dimensions", None),
            (node("MUL", operand(), WIDE), 35, "the second input has 5 dimensions", None),
            (node("MUL", INT32, INT32, fusedActivationFunction=1), 30, "activation", None),
            (node("SUB", INT32, INT32, fusedActivationFunction=1), 30, "activation", None),
            (node("SUB", operand(), WIDE), 35, "5 dimensions", None),
            (node("SUB", WIDE, operand()), 35, "5 dimensions", None),
            (node("L2_POOL_2D", fusedActivationFunction=1), 28, "activation", 29),
            (node("CONV_2D", operand(), operand()), 35, "bias", None),
            (node("CONV_2D", operand(), operand(), operand(), dilationHFactor=2), 28, "dilation", 29),
            (node("CONV_2D", UINT8, PER_CHANNEL, INT32, output=UINT8), 28, "per channel", 29),
            (
                node("DEPTHWISE_CONV_2D", UINT8, FILTER, INT32, output=operand("uint8", scales=(0.01,))),
                28,
                "scales",
                29,
            ),
            (node("DEPTHWISE_CONV_2D", UINT8, FILTER, INT32, output=operand("uint8", scales=(0.02,))), None, "", 27),
            (node("FULLY_CONNECTED", UINT8, FILTER, INT32, output=operand("uint8", scales=(0.005,))), 28, "scales", 29),
            (node("FULLY_CONNECTED", operand(), int8(), operand()), 28, "float input", 29),
            (node("FULLY_CONNECTED", operand(), operand(), operand(), keepNumDims=True), 29, "API level 30", 30),
            (node("FULLY_CONNECTED", operand(), operand(), operand(), output=operand("int16")), 35, "int16", None),
            (node("RESIZE_BILINEAR", operand(shape=(4, 4, 4)), indices(4, 4)), 35, "3 dimensions", None),
            (node("RESIZE_BILINEAR", operand(), indices(4, 4, constant=False)), 35, "the size", None),
            (node("RESIZE_NEAREST_NEIGHBOR", operand(), indices(4, 4), alignCorners=True), 29, "align_corners", 30),
            (node("RESIZE_NEAREST_NEIGHBOR", operand(), indices(4, 4), halfPixelCenters=True), 29, "half_pixel", 30),
            (node("CONCATENATION", WIDE, WIDE), 35, "5 dimensions", None),
            (node("QUANTIZE", operand(), output=operand("int8")), 35, "the output has no scale", None),
            (node("DENSIFY", operand(constant=True)), 29, "API level 30", 30),
            (node("DENSIFY"), 35, "stored", None),
            (node("MIRROR_PAD", operand(shape=(0, 4)), indices(0, 1)), 35, "no elements", None),
            (node("REVERSE_V2", operand(), indices(0)), 35, "feature level 7", None),
            (node("SLICE", operand(), indices(1), operand("int64")), 35, "the size is int64", None),
            (node("TRANSPOSE_CONV", indices(1, 8, 8, 4), operand()), 35, "filter", None),
            (node("BATCH_TO_SPACE_ND", operand(), indices(2, 2), indices(0, 0, 0, 1)), 35, "crops", None),
            (node("BATCH_TO_SPACE_ND", operand(), indices(2, 2), indices(0, 0, 0, 0)), 27, "API level 28", 28),
            (node("SUM", operand(), indices(1), output=SCALAR), 35, "scalar", None),
            (node("REDUCE_MAX", SCALAR, indices(1)), 35, "0 dimensions", None),
            (node("REDUCE_ANY", operand("bool"), indices(1), output=SCALAR), 35, "scalar", None),
            (node("MAXIMUM", SCALAR, operand()), 35, "scalar input", None),
            (node("CAST", operand(), output=int8()), 29, "the output is int8", 30),
            (node("CAST", operand(), output=operand("bool")), 35, "the output is bool", None),
            (node("TILE", operand(), operand("int64")), 35, "the multiples", None),
            (node("TOPK_V2", operand(), INT32), 35, "the count", None),
            (node("SELECT", operand("bool"), operand(shape=(2, 2))), 35, "another shape", None),
            (node("SPLIT_V", operand(), operand("int64", (2,), data=[1, 3]), indices(3)), 35, "the sizes", None),
            (node("SPLIT_V", operand(), indices(1, 3), indices(3, constant=False)), 35, "the axis", None),
            (node("SPLIT_V", operand(), indices(4, -1), indices(3)), 35, "empty", None),
            (node("SPLIT_V", operand(), indices(3, -1), indices(3)), 29, "API level 30", 30),
            (node("FILL", indices(2, constant=False), operand()), 35, "the shape", None),
            (node("FILL", operand("int32", (0,), constant=True), operand()), 35, "scalar", None),
            (node("FILL", indices(2), operand("int8")), 35, "the value is int8", None),
            (node("MUL", WIDE, operand()), 35, "the input has 5 dimensions", None),
            (node("DIV", operand(), WIDE), 35, "the second input has 5 dimensions", None),
            (node("DIV", WIDE, operand()), 35, "the input has 5 dimensions", None),
            (node("SQUARED_DIFFERENCE", operand(), WIDE), 35, "the second input has 5 dimensions", None),
            (node("SQUARED_DIFFERENCE", WIDE, operand()), 35, "the input has 5 dimensions", None),
            (node("ARG_MAX", operand(), operand("int64", (1,), data=[2**40]), output=INT32), 35, "does not fit", None),
            (node("DEQUANTIZE", int8(), version=3, output=operand()), 35, "version 3", None),
            (node("PAD", operand(), indices(0, 1), SCALAR), 28, "padding value", 29),
            (node("PADV2", operand(shape=(0, 4)), indices(0, 1), SCALAR), 35, "no elements", None),
            (node("MINIMUM", SCALAR, operand()), 35, "scalar", None),
            (node("MINIMUM", operand(), SCALAR), 35, "scalar input", None),
            (node("GATHER", operand(), operand("int64")), 35, "the positions is int64", None),
            (node("SPLIT_V", operand(), operand("int32", (1, 2), constant=True), indices(3)), 35, "2 dimensions", None),
            (node("FILL", indices(2), operand("int64", (), data=[2**40])), 35, "does not fit", None),
            (node("UNPACK", operand(shape=(8,)), axis=0), 35, "1 dimensions", None),
            (node("UNPACK", operand(), axis=3), 35, "last", None),
            (node("ARG_MAX", operand(), operand("int64", (1,)), output=INT32), 35, "the axis", None),
            (node("ARG_MAX", operand(), operand("int64", (1,), data=[3]), output=INT32), 28, "API level 29", 29),
            (node("FILL", operand("int64", (1,), data=[2**40]), operand()), 35, "does not fit", None),
        ],
        ids=lambda value: value.name if isinstance(value, Node) else None,
    )
    def test_border(self, operator, refused_at, word, delegated_at):
        if refused_at is not None:
            assert word in refusal(operator, refused_at)
            assert refusal(operator, refused_at)
        if delegated_at is not None:
            assert refusal(operator, delegated_at) == ""

    @pytest.mark.parametrize("name", sorted(DOUBLE_ENTRY))
    def test_version_level_and_number_types(self, name):
        version, since, types = DOUBLE_ENTRY[name]

        def reason(level, dtype="float32", version=1):
            x = operand(dtype, scales=(0.1,))
            return refusal(node(name, x, x, x, version=version), level)

        if version:
            assert "the delegate knows up to" not in reason(31, version=version)
            assert f"version {version + 1} of the operator" in reason(31, version=version + 1)
        for level in range(27, 32):
            if level < since:
                assert f"needs API level {since}" in reason(level)
                continue
            assert f"needs API level {since}" not in reason(level)
            allowed = types[max(start for start in types if start <= level)]
            for letter, dtype in LETTERS.items():
                assert ("the input is" in reason(level, dtype)) == (letter not in allowed), (level, dtype)

    def test_no_rule_is_without_a_second_entry_or_a_border(self):
        border = next(mark for mark in type(self).test_border.pytestmark if mark.name == "parametrize")
        assert set(RULES) == set(DOUBLE_ENTRY) | {case[0].name for case in border.args[1]}

    def test_feature_levels_6_and_7_take_more(self):
        assert refusal(node("BATCH_MATMUL", operand(), operand()), 1000006) == ""
        assert "broadcast" in refusal(node("BATCH_MATMUL", operand(), operand(shape=(2, 8, 8, 4))), 1000006)
        assert "differ" in refusal(node("BATCH_MATMUL", operand(), int8()), 1000006)
        assert "int16" in refusal(node("BATCH_MATMUL", operand("int16"), operand("int16")), 1000006)
        assert "version 4" in refusal(node("BATCH_MATMUL", operand(), operand(), version=4), 1000006)
        assert "5 dimensions" in refusal(node("BATCH_MATMUL", WIDE, WIDE), 1000006)
        assert refusal(node("PACK", INT32, INT32), 1000006) == ""
        assert refusal(node("RESHAPE", INT32, indices(1, 256)), 1000006) == ""
        assert refusal(node("MIRROR_PAD", operand(), indices(0, 1)), 1000007) == ""
        assert refusal(node("RSQRT", int8(), version=2), 1000007) == ""


def refusal(operator, level):
    reasons = [rule.refusal(operator, min(level, 31) if level < 1000 else level) for rule in RULES[operator.name]]
    return "; ".join(filter(None, reasons))


class TestErrors:
    @pytest.mark.parametrize("level", [26, 36, 0, "31", 29.5, True, None])
    def test_level_out_of_range(self, tflite_files, level):
        with pytest.raises(UserError, match="give a number from 27 to 35") as error:
            tflite.check_nnapi(tflite_files["float32"], level)
        assert "\n" not in str(error.value)

    def test_files_that_are_none(self, tmp_path):
        text, short = tmp_path / "text.tflite", tmp_path / "short.tflite"
        text.write_text("These are the voyages of a text file.")
        short.write_bytes(b"\x1c\0\0\0TFL3")
        for path, says in ((tmp_path / "none.tflite", "does not exist"), (text, "TFL3"), (short, "damaged")):
            with pytest.raises(UserError, match=says) as error:
                tflite.check_nnapi(path)
            assert "\n" not in str(error.value)
        with pytest.raises(UserError, match="cannot read"):
            tflite.check_nnapi(tmp_path)

    def test_operators_that_do_not_fit_together(self, tflite_files, edited):
        def unknown_tensor(model, graph):
            graph.operators[0].inputs = np.array([10_000, 1, 2], np.int32)

        def backwards(model, graph):
            graph.operators = graph.operators[::-1]
            graph.operators.append(graph.operators.pop(0))
            graph.operators[0].inputs = graph.operators[-1].outputs

        def other_size(model, graph):
            first(model, graph, "CONV_2D")
            graph.tensors[graph.operators[0].inputs[1]].shape = np.array([9, 3, 3, 3], np.int32)

        for change in (unknown_tensor, backwards, other_size):
            with pytest.raises(UserError, match="damaged"):
                tflite.check_nnapi(edited(tflite_files["float32"], change))

    def test_damage_that_only_the_runtime_sees_is_no_success(self, nnapi_files, edited):
        def change(model, graph):  # the rules do not ask for the scale of a softmax, the runtime does
            operator, _ = first(model, graph, "SOFTMAX")
            graph.tensors[operator.outputs[0]].quantization.scale = np.array([0.5], np.float32)

        with pytest.raises(UserError, match="damaged or not for this runtime"):
            tflite.check_nnapi(edited(nnapi_files["MobileNetV1"], change))
