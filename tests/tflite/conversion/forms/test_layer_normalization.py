"""Layer normalization and scales of channels in float .tflite files, against the formula and LiteRT's own answers."""

import functools

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from networks import answers, coloured_noise, one_step, randomize

import keras_mobilenets as km
from keras_mobilenets import blocks, tflite, training
from keras_mobilenets.tflite.conversion.folds.channel_scale_fold import fold_channel_scales
from keras_mobilenets.tflite.conversion.forms.layer_normalization import inner_activations, simplify
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.measurement.stock_models import stock
from keras_mobilenets.tflite.runtime.interpreter import open_model
from keras_mobilenets.training.compression.int8_form import int8_form

SHAPE, EPSILON = (1, 4, 5, 6), 1e-6
OPTIONS = {"MEAN": "ReducerOptions", "RSQRT": None, "AVERAGE_POOL_2D": "Pool2DOptions"}
RNG = np.random.default_rng(0)
GAMMA, BETA = RNG.uniform(0.5, 1.5, 6).astype(np.float32), RNG.normal(size=6).astype(np.float32)


def simplified(content, for_int8=False):
    return flatbuffer.changed(content, functools.partial(simplify, for_int8=for_int8))


class Float:
    """A float graph, written by hand."""

    def __init__(self):
        graph = schema.SubGraphT(tensors=[], operators=[])
        model = schema.ModelT(version=3, operatorCodes=[], buffers=[schema.BufferT()], subgraphs=[graph])
        self.graph = flatbuffer.Graph(model)
        self.x = self.graph.add_tensor("x", SHAPE, schema.TensorType.FLOAT32)

    def constant(self, values):
        values = np.asarray(values)
        dtype = schema.TensorType.INT32 if values.dtype == np.int32 else schema.TensorType.FLOAT32
        return self.graph.add_tensor("c", values.shape, dtype, None, values)

    def add(self, name, *inputs, shape=SHAPE, **options):
        output = self.graph.add_tensor(name.lower(), shape, schema.TensorType.FLOAT32)
        code = self.graph._code(getattr(schema.BuiltinOperator, name), 1)
        operator = schema.OperatorT(opcodeIndex=code, inputs=np.array(inputs, np.int32), outputs=np.array([output]))
        kind = OPTIONS.get(name, f"{name.title().replace('_', '')}Options")
        if kind:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
            operator.builtinOptions = getattr(schema, f"{kind}T")()
            for option, value in options.items():
                setattr(operator.builtinOptions, option, value)
        self.graph.operators.append(operator)
        return output

    def mean(self, tensor):
        return self.add("MEAN", tensor, self.constant(np.array([3], np.int32)), shape=(*SHAPE[:3], 1), keepDims=True)

    def convolution(self, tensor, kernel, bias, padding, depthwise=False):
        filters = kernel.shape[3] if depthwise else kernel.shape[0]
        size = [n - k + 1 if padding else n for n, k in zip(SHAPE[1:3], kernel.shape[1:3], strict=True)]
        options = {"padding": padding, "strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1}
        options |= {"depthMultiplier": 1} if depthwise else {}
        name = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
        inputs = (tensor, self.constant(kernel), self.constant(bias))
        return self.add(name, *inputs, shape=(1, *size, filters), **options)

    def content(self, output):
        graph = self.graph.model.subgraphs[0]
        graph.inputs, graph.outputs = np.array([self.x], np.int32), np.array([output], np.int32)
        return flatbuffer.write(self.graph.model)


def normalization(build, form):
    """As a library writes it: Keras 3's, tf.nn.batch_normalization's (Keras 2), or by the formula."""
    x, gamma, beta = build.x, build.constant(GAMMA), build.constant(BETA)
    narrow = {"shape": (*SHAPE[:3], 1)}
    mean = build.mean(x)
    if form == "formula":
        centered = build.add("SUB", x, mean)
        variance = build.mean(build.add("MUL", centered, centered))
    else:
        variance = build.mean(build.add("SQUARED_DIFFERENCE", x, mean))
    total = build.add("ADD", variance, build.constant(np.array(EPSILON, np.float32)), **narrow)
    root = build.add("RSQRT", total, **narrow)
    if form == "formula":
        return build.add("ADD", build.add("MUL", build.add("MUL", centered, root), gamma), beta)
    scale = build.add("MUL", root, gamma)
    if form == "keras":
        shift = build.add("ADD", build.add("MUL", build.add("NEG", mean, **narrow), scale), beta)
    else:
        shift = build.add("SUB", beta, build.add("MUL", mean, scale))
    return build.add("ADD", build.add("MUL", x, scale), shift)


def run(content, x):
    model = Interpreter(model_content=content)
    model.allocate_tensors()
    model.set_tensor(model.get_input_details()[0]["index"], x)
    model.invoke()
    return model.get_tensor(model.get_output_details()[0]["index"])


def operators(content):
    graph = flatbuffer.Graph(flatbuffer.read(content))
    return [graph.name(operator) for operator in graph.operators]


CENTERED = ["MEAN", "SUB", "MUL", "MEAN", "ADD", "RSQRT", "MUL"]
PRODUCT = ["MEAN", "MUL", "MEAN", "MUL", "SUB", "ADD", "RSQRT", "MUL"]


@pytest.mark.parametrize("form", ["keras", "batch_normalization", "formula"])
@pytest.mark.parametrize("for_int8", [False, True], ids=["float", "int8"])
@pytest.mark.parametrize("reader", ["1×1", "no padding", "padding", "none"])
def test_factor_and_offset_go_into_the_weights_that_see_no_zeros(form, for_int8, reader):
    build, x = Float(), RNG.normal(1, 2, SHAPE).astype(np.float32)
    output = normalization(build, form)
    if reader != "none":
        side = 1 if reader == "1×1" else 2
        kernel = RNG.normal(size=(8, side, side, 6)).astype(np.float32)
        output = build.convolution(output, kernel, np.ones(8, np.float32), padding=int(reader == "no padding"))
    content = build.content(output)
    simple = simplified(content, for_int8)
    folds = reader in ("1×1", "no padding")
    behind = ["CONV_2D"] if folds else ["MUL", "ADD", "CONV_2D"] if reader == "padding" else ["MUL", "ADD"]
    assert operators(simple) == (PRODUCT if folds and for_int8 else CENTERED) + behind
    np.testing.assert_allclose(run(simple, x), run(content, x), atol=2e-5)
    if reader == "none":
        normal = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + EPSILON)
        np.testing.assert_allclose(run(simple, x), normal * GAMMA + BETA, atol=1e-5)
    if not for_int8:
        assert operators(simplified(simple)) == operators(simple)


def group_normalization(build):
    """One group, as Keras 3 writes it, in five dimensions."""
    whole, one = (1, 4, 5, 1, 6), (1, 1, 1, 1, 1)
    axes, narrow = build.constant(np.array([1, 2, 4], np.int32)), {"shape": one}
    gamma, beta = (build.constant(values.reshape(1, 1, 1, 1, 6)) for values in (GAMMA, BETA))
    x = build.add("RESHAPE", build.x, build.constant(np.array(whole, np.int32)), shape=whole)
    mean = build.add("MEAN", x, axes, keepDims=True, **narrow)
    centered = build.add("SUB", x, mean, shape=whole)
    variance = build.add("MEAN", build.add("MUL", centered, centered, shape=whole), axes, keepDims=True, **narrow)
    total = build.add("ADD", variance, build.constant(np.array(EPSILON, np.float32)), **narrow)
    scale = build.add("MUL", build.add("RSQRT", total, **narrow), gamma, shape=(1, 1, 1, 1, 6))
    shift = build.add("MUL", build.add("NEG", mean, **narrow), scale, shape=(1, 1, 1, 1, 6))
    shift = build.add("ADD", shift, beta, shape=(1, 1, 1, 1, 6))
    y = build.add("ADD", build.add("MUL", x, scale, shape=whole), shift, shape=whole)
    return build.add("RESHAPE", y, build.constant(np.array(SHAPE, np.int32)))


STATISTICS = ["MEAN", "MUL", "MEAN", "MUL", "SUB", "ADD", "RSQRT"]


@pytest.mark.parametrize("for_int8", [False, True], ids=["float", "int8"])
@pytest.mark.parametrize("reader", ["1×1", "pooling minus the map", "none"])
def test_one_group_is_normalized_in_four_dimensions(for_int8, reader):
    build, x = Float(), RNG.normal(1, 2, SHAPE).astype(np.float32)
    output = group_normalization(build)
    if reader == "1×1":
        output = build.convolution(output, RNG.normal(size=(8, 1, 1, 6)).astype(np.float32), np.ones(8, np.float32), 0)
        expected = [*STATISTICS, "MUL", "MUL", "SUB", "CONV_2D"] if for_int8 else [*CENTERED, "CONV_2D"]
    elif reader == "none":
        expected = [*CENTERED, "MUL", "ADD"]
    else:
        pool = {"strideW": 1, "strideH": 1, "filterWidth": 3, "filterHeight": 3, "padding": schema.Padding.SAME}
        output = build.add("SUB", build.add("AVERAGE_POOL_2D", output, **pool), output)
        kernel = RNG.normal(size=(1, 1, 1, 6)).astype(np.float32)
        output = build.convolution(output, kernel, np.ones(6, np.float32), 0, depthwise=True)
        expected = [*(PRODUCT if for_int8 else CENTERED), "AVERAGE_POOL_2D", "SUB", "DEPTHWISE_CONV_2D"]
    content = build.content(output)
    simple = simplified(content, for_int8)
    assert operators(simple) == expected
    graph = flatbuffer.Graph(flatbuffer.read(simple))
    assert max(len(graph.shape(int(operator.outputs[0]))) for operator in graph.operators) == 4
    np.testing.assert_allclose(run(simple, x), run(content, x), atol=2e-5)
    if reader == "none":
        normal = (x - x.mean()) / np.sqrt(x.var() + EPSILON)
        np.testing.assert_allclose(run(simple, x), normal * GAMMA + BETA, atol=1e-5)


@pytest.mark.parametrize("for_int8", [False, True], ids=["float", "int8"])
@pytest.mark.parametrize("moves", [["RESHAPE", "TRANSPOSE", "RESHAPE"], []], ids=["moves", "no moves"])
def test_factor_and_offset_go_behind_moves_and_the_mean_of_positions(moves, for_int8):
    """As in MobileViT's fold, whose patches lie beside each other for a while, and in front of a classifier."""
    build, x = Float(), RNG.normal(1, 2, SHAPE).astype(np.float32)
    y, shape = normalization(build, "keras"), (1, 2, 2, 30)
    if moves:
        y = build.add("RESHAPE", y, build.constant(np.array(shape, np.int32)), shape=shape)
        y = build.add("TRANSPOSE", y, build.constant(np.array([0, 2, 1, 3], np.int32)), shape=shape)
        y = build.add("RESHAPE", y, build.constant(np.array((1, 20, 1, 6), np.int32)), shape=(1, 20, 1, 6))
    y = build.add("MEAN", y, build.constant(np.array([1, 2], np.int32)), shape=(1, 6))
    weights, bias = (build.constant(RNG.normal(size=size).astype(np.float32)) for size in ((3, 6), (3,)))
    content = build.content(build.add("FULLY_CONNECTED", y, weights, bias, shape=(1, 3)))
    simple = simplified(content, for_int8)
    normal = PRODUCT if for_int8 and moves else CENTERED
    assert operators(simple) == [*normal, *moves, "MEAN", "FULLY_CONNECTED"]
    np.testing.assert_allclose(run(simple, x), run(content, x), atol=2e-5)


def test_positions_without_a_deviation_give_no_nan():
    build = Float()
    output = build.convolution(
        normalization(build, "keras"), np.ones((2, 1, 1, 6), np.float32), np.ones(2, np.float32), 1
    )
    x = np.full(SHAPE, 1e3, np.float32)
    assert np.isfinite(run(simplified(build.content(output), for_int8=True), x)).all()


@pytest.mark.parametrize("padding", [0, 1])
def test_in_int8_the_product_alone_is_left_where_weights_center(padding):
    build = Float()
    kernel = RNG.normal(size=(8, 2, 2, 6)).astype(np.float32)
    content = build.content(build.convolution(normalization(build, "keras"), kernel, np.ones(8, np.float32), padding))
    simple = simplified(content, for_int8=True)
    graph = flatbuffer.Graph(flatbuffer.read(simple))
    inner = set(inner_activations(simple))
    quantized = [
        graph.name(op) for op in graph.operators if graph.tensors[int(op.outputs[0])].name.decode() not in inner
    ]
    assert quantized == (["MUL", "CONV_2D"] if padding else ["CONV_2D"])
    assert inner_activations(simplified(content)) == []


def test_other_roots_stay_as_they_are():
    """The root of an RMS normalization, and a variance over other axes."""
    build = Float()
    squares = build.mean(build.add("MUL", build.x, build.x))
    root = build.add("RSQRT", build.add("ADD", squares, build.constant(np.float32([1])), shape=(*SHAPE[:3], 1)))
    content = build.content(build.add("MUL", build.x, root))
    assert simplified(content) == flatbuffer.changed(content)
    assert inner_activations(content) == []


@pytest.mark.parametrize("depthwise", [False, True])
def test_a_scale_of_channels_goes_into_the_convolution_before_it(depthwise):
    build, x = Float(), RNG.normal(size=SHAPE).astype(np.float32)
    kernel = RNG.normal(size=(1, 3, 3, 6) if depthwise else (6, 3, 3, 6)).astype(np.float32)
    y = build.convolution(build.x, kernel, BETA, padding=0, depthwise=depthwise)
    content = build.content(build.convolution(y, GAMMA.reshape(1, 1, 1, 6), BETA, padding=0, depthwise=True))
    folded = flatbuffer.changed(content, fold_channel_scales)
    assert operators(folded) == ["DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"]
    np.testing.assert_allclose(run(folded, x), run(content, x), atol=1e-5)


def test_a_scale_behind_an_activation_or_of_a_map_that_others_read_stays():
    build = Float()
    y = build.convolution(build.x, RNG.normal(size=(6, 1, 1, 6)).astype(np.float32), BETA, padding=0)
    scaled = build.convolution(y, GAMMA.reshape(1, 1, 1, 6), BETA, padding=0, depthwise=True)
    content = build.content(build.add("ADD", y, scaled))
    assert flatbuffer.changed(content, fold_channel_scales) == flatbuffer.changed(content)
    build = Float()
    y = build.convolution(build.x, RNG.normal(size=(6, 1, 1, 6)).astype(np.float32), BETA, padding=0)
    build.graph.operators[-1].builtinOptions.fusedActivationFunction = schema.ActivationFunctionType.RELU
    content = build.content(build.convolution(y, GAMMA.reshape(1, 1, 1, 6), BETA, padding=0, depthwise=True))
    assert flatbuffer.changed(content, fold_channel_scales) == flatbuffer.changed(content)


def convnext(x):
    x = blocks.layer_norm(keras.layers.Conv2D(24, 4, 4, name="stem")(x), name="stem")
    x = blocks.convnext_block(x, layer_scale=0.3, name="block_0")
    x = blocks.layer_norm(x, name="downsample")
    x = keras.layers.Conv2D(32, 2, 2, name="downsample")(x)
    return blocks.convnext_block(
        x, mix=functools.partial(blocks.wavelet_conv, levels=2), layer_scale=0.3, name="block_1"
    )


def hybrid(x):
    x = keras.layers.Conv2D(24, 4, 4, name="stem")(x)
    x = blocks.poolformer_block(x, layer_scale=0.3, name="block_0")
    x = blocks.mobilevit_block(x, 16, 1, heads=2, name="block_1")
    x = blocks.attention_block(x, 2, 8, 16, layer_scale=0.3, name="block_2")
    return blocks.layer_norm(x, name="head")


@pytest.fixture(scope="module", params=[pytest.param(convnext, marks=pytest.mark.slow), hybrid])
def network(request):
    """The blocks of ConvNeXt, or those of PoolFormer, MobileViT and EfficientFormer, quickly converted."""
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3))
    x = keras.layers.GlobalAveragePooling2D(name="pool")(request.param(image))
    return randomize(keras.Model(image, keras.layers.Dense(10, name="predictions")(x), name="small"), kernels=False)


def test_in_int8_blocks_with_normalizations_are_one_partition_and_closer_than_the_stock_converters(network, tmp_path):
    images = coloured_noise(48)
    scaled = km.preprocess_input(images)
    expected = answers(network, scaled)

    def error(path):
        model = open_model(path)
        scale, zero = model.input["quantization"]
        inputs = np.clip(np.round(scaled / scale) + zero, -128, 127).astype(np.int8)
        found = np.concatenate([model.dequantize(model.run(image[None])) for image in inputs])
        return np.square(found - expected).sum() / np.square(expected - expected.mean(0)).sum()

    path = tflite.convert(
        network, tmp_path / "ours.tflite", quantize="int8", calibration=images, target="litert", effort="low"
    )
    result = tflite.inspect(path)
    assert result.partitions == 1
    assert result.nodes_delegated == result.nodes
    stock(network, tmp_path / "stock.tflite", "int8", scaled)
    ours, theirs = error(path), error(tmp_path / "stock.tflite")
    print(f"noise over signal {ours:.4f}, stock {theirs:.4f}")
    assert ours < 0.02
    assert ours < theirs
    names = {tensor.name for tensor in flatbuffer.read(path.read_bytes()).subgraphs[0].tensors}
    layers = {layer.name for layer in network.layers}
    folded = {b"block_0_project;block_0_scale", b"block_1_depthwise_2_hl;block_1_depthwise_2_hl_scale"}
    assert {name for name in folded if name.decode().split(";")[0] in layers} <= names


def test_trained_for_int8_they_are_one_partition_too(network, tmp_path):
    images = coloured_noise(16)
    scaled = km.preprocess_input(images)
    expected = answers(network, scaled)
    form = int8_form(network)
    np.testing.assert_allclose(answers(form, scaled), expected, atol=1e-5 * np.abs(expected).max())
    left = {layer.name for layer in form.layers if isinstance(layer, keras.layers.LayerNormalization)}
    assert left == {layer.name for layer in network.layers} & {
        "stem_norm",
        "head_norm",
    }  # read by padding and by a mean
    trained = training.quantize_aware(network, images)
    one_step(trained, "sgd", scaled[:4], np.arange(4))
    expected = answers(trained, scaled)
    path = tflite.convert(trained, tmp_path / "trained.tflite", target="litert")
    result = tflite.inspect(path)
    assert result.partitions == 1
    assert result.nodes_delegated == result.nodes
    found = tflite.evaluate(path, images).predictions
    assert np.square(found - expected).sum() < 0.01 * np.square(expected - expected.mean(0)).sum()
