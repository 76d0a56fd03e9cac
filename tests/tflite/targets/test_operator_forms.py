"""The forms of operators by target: against the real functions, TensorFlow Lite's reference kernels and XNNPACK."""

import math
import warnings

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from networks import answers

import keras_mobilenets as km
from keras_mobilenets import tflite, training
from keras_mobilenets.tflite.conversion.quantization import hard_swish
from keras_mobilenets.tflite.conversion.target_rewriter import rewrite
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.runtime.model import Model
from keras_mobilenets.tflite.runtime.native_output import suppress_native_output
from keras_mobilenets.tflite.targets.operator_forms import FORMS
from keras_mobilenets.training.engine.batch_normalization import estimate_statistics

SIZE = 64
TARGETS = ("nnapi", "litert", "gpu")
BYTES = np.arange(-128, 128, dtype=np.int8).reshape(1, 16, 16, 1)


@pytest.fixture(scope="module")
def model():
    """A small MobileNetV3 whose batch normalization keeps activations at the size of trained ones."""
    keras.utils.set_random_seed(0)
    model = estimate_statistics(
        km.MobileNetV3Small((SIZE, SIZE, 3), 0.35, classes=10), km.preprocess_input(_images(16))
    )
    model.layers[-1].kernel.assign(2 * model.layers[-1].kernel)  # answers that differ between images
    return model


@pytest.fixture(scope="module")
def images():
    return _images(24)


def _images(count):
    rng = np.random.default_rng(0)
    return np.clip(rng.normal(128, 60, (count, 1, 1, 3)) + rng.normal(0, 40, (count, SIZE, SIZE, 3)), 0, 255).astype(
        np.uint8
    )


@pytest.fixture(scope="module")
def converted(model, images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("targets")
    return {
        target: tflite.convert(
            model, folder / f"{target}.tflite", quantize="int8", effort="low", calibration=images, target=target
        )
        for target in TARGETS
    }


def test_all_but_the_softmax_is_delegated_to_xnnpack_in_one_partition(converted):
    found = tflite.inspect(converted["litert"])
    assert "HARD_SWISH" not in found.operator_counts
    assert found.partitions == 1
    assert found.nodes_delegated == found.nodes - found.operator_counts["SOFTMAX"]
    assert found.float_islands == ()


@pytest.mark.parametrize("target", TARGETS)
def test_no_constant_outranks_the_output_of_its_operator(converted, target):
    assert _outranking(converted[target].read_bytes()) == []


@pytest.mark.parametrize("rank", [1, 2, 3, 4])
def test_constants_of_h_swish_have_the_rank_of_the_activation(rank):
    graph, real = _h_swish(-4, 6, maker="ADD", shape=(256, 1, 1, 1)[:rank])
    rewritten = rewrite(graph, FORMS["litert"])
    assert _names(rewritten) == ["ADD", "MUL", "ADD", "MUL"] and _outranking(rewritten) == []
    assert np.abs(_run(rewritten) - np.round(real)).max() <= 1


def _outranking(content):
    """Constants that LiteRT's GPU delegate reads wrongly, saying that it has taken all; Qualcomm's NPU refuses them."""
    graph = flatbuffer.Graph(flatbuffer.read(content))
    return [
        (graph.name(operator), graph.tensors[index].name)
        for operator in graph.operators
        for index in map(int, operator.inputs)
        if index >= 0 and flatbuffer.is_constant(graph.model, graph.tensors[index])
        if len(graph.shape(index)) > len(graph.shape(int(operator.outputs[0])))
    ]


def test_the_earlier_name_of_litert_gives_the_same_form():
    assert FORMS["xnnpack"] == FORMS["litert"]


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_a_trained_network_answers_the_same_in_each_form(trained, tmp_path):
    model, data = trained
    calibration, _ = data.images("train", 128, seed=0)
    native, other = (
        tflite.convert(
            model, tmp_path / f"{target}.tflite", quantize="int8", effort="low", calibration=calibration, target=target
        )
        for target in ("nnapi", "litert")
    )
    rewritten = tmp_path / "rewritten.tflite"
    rewritten.write_bytes(rewrite(native.read_bytes(), FORMS["litert"]))
    pixels, _ = data.images("test", 2000, seed=0)
    kept, given, by_channel = (
        tflite.evaluate(path, pixels).predictions.argmax(-1) for path in (native, rewritten, other)
    )
    assert len(kept) == 2000 and len(set(kept)) > 5
    assert (given == kept).mean() >= 0.995
    assert (by_channel == kept).mean() >= 0.985  # whose dense layers have other weights


WHOLE = ["MobileNetV1", "MobileNetV2", "MobileNetV3Large", "MobileNetV3Small", "EfficientNetLite0", "GhostNetV2"]


QUICK = ("MobileNetV1", "MobileNetV3Small")


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in QUICK else pytest.mark.slow) for n in WHOLE])
def test_each_target_takes_a_small_network_whole(name, images, tmp_path):
    width = {"alpha": 0.35} if name.startswith("Mobile") else {}
    _assert_fully_delegated(
        km.create_model(name, input_shape=(SIZE, SIZE, 3), classes=10, **width), images[:4], tmp_path
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", [*WHOLE, "EfficientNetB0"])
def test_each_target_takes_a_network_of_224_pixels_whole(name, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 224, 224, 3)).astype(np.uint8)
    _assert_fully_delegated(km.create_model(name, input_shape=(224, 224, 3)), pixels, tmp_path)


OTHERS = ["StandardConvNet", "MobileNetV4ConvSmall", "MobileNetV4HybridMedium", "ResNet18", "VGG16", "EfficientNetB0",
          "EfficientNetV2B0"]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", OTHERS)
def test_no_constant_outranks_in_the_other_families(name, target, images, tmp_path):
    model = km.create_model(name, input_shape=(SIZE, SIZE, 3), classes=10)
    path = tflite.convert(model, tmp_path / "m.tflite", quantize="int8", calibration=images[:4], target=target)
    assert _outranking(path.read_bytes()) == []


def _assert_fully_delegated(model, pixels, folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error", tflite.TargetWarning)
        paths = {
            target: tflite.convert(
                model, folder / f"{target}.tflite", quantize="int8", effort="low", calibration=pixels, target=target
            )
            for target in TARGETS
        }
    for path in paths.values():
        assert _outranking(path.read_bytes()) == []
    for level in (30, 31, 35):
        check = tflite.check_nnapi(paths["nnapi"], level)
        assert (check.delegated, check.partitions, check.macs_share) == (check.total, 1, 1.0)
    assert tflite.check_gpu(paths["gpu"]).ok and tflite.check_gpu(paths["litert"]).ok
    found = tflite.inspect(paths["litert"])
    assert found.partitions == 1
    assert found.nodes - found.nodes_delegated == found.operator_counts["SOFTMAX"] <= 1


def test_nnapi_and_gpu_keep_one_operator_for_h_swish(converted):
    for target in ("nnapi", "gpu"):
        assert tflite.inspect(converted[target]).operator_counts["HARD_SWISH"] == 19
    assert tflite.inspect(converted["nnapi"]).partitions > 10  # what the rewriting is for


def test_targets_predict_the_same(model, converted, images):
    expected = answers(model, km.preprocess_input(images))
    native, rewritten = (tflite.evaluate(converted[target], images).predictions for target in ("nnapi", "litert"))
    assert np.abs(rewritten - native).mean() <= 2 / 256
    error = {name: np.abs(given - expected).mean() for name, given in (("native", native), ("rewritten", rewritten))}
    assert error["rewritten"] < 1.25 * error["native"]
    assert expected.std() > 0.02


@pytest.mark.slow
def test_a_quantization_aware_model_is_rewritten_too(model, images, tmp_path):
    trained = training.quantize_aware(model, calibration=km.preprocess_input(images))
    files = {target: tflite.convert(trained, tmp_path / f"{target}.tflite", target=target) for target in TARGETS}
    found = tflite.inspect(files["litert"])
    assert (found.partitions, found.nodes_delegated) == (1, found.nodes - 1)
    native, rewritten = (tflite.evaluate(files[target], images).predictions for target in ("nnapi", "litert"))
    assert np.abs(rewritten - native).mean() <= 2 / 256


RANGES = [(-3, 3), (-6, 6), (-10, 10), (-1, 8), (-8, 1), (-2, 2), (-0.5, 0.5), (-0.01, 0.01), (-1e-3, 2e-3), (-30, 40),
          (0, 5), (-4.2, 0.9)]  # fmt: skip


@pytest.mark.parametrize("maker", ["CONV_2D", "ADD"])
@pytest.mark.parametrize("reference", [True, False])
@pytest.mark.parametrize(("low", "high"), RANGES)
def test_h_swish_is_the_real_function_within_a_step_for_every_input(low, high, reference, maker):
    graph, real = _h_swish(low, high, maker=maker)
    kernel, rewritten = _run(graph, reference=True), _run(rewrite(graph, FORMS["litert"]), reference)
    assert np.abs(rewritten - np.round(real)).max() <= 1
    assert np.abs(rewritten - kernel).max() <= 1


@pytest.mark.parametrize(
    ("low", "high"), [(-6, 6.75), (-9, 3.75), (-1, 11.75), (-3, 0.75), (-8.5, 4.25), (-20, 11.875)]
)
def test_h_swish_is_exact_where_three_is_whole_in_a_part_of_the_step(low, high):
    graph, real = _h_swish(low, high)
    assert np.abs(_run(rewrite(graph, FORMS["litert"])) - real).max() < 0.501  # rounded to the nearest step


@pytest.mark.parametrize("reference", [True, False])
@pytest.mark.parametrize("maker", ["CONV_2D", "ADD"])
@pytest.mark.parametrize(
    ("low", "high"),
    [(-3, 3.1), (-6, 6), (-10, 10), (-1, 8), (-8, 1), (-70, 60), (-9.1, 13.3), (-22.7, 51.9), (-5.43, 6.02)],
)
def test_aligned_ranges_give_the_same_integers_in_both_forms(low, high, maker, reference):
    graph, real = _h_swish(*_aligned(low, high), maker=maker)
    kernel, rewritten = _run(graph, reference), _run(rewrite(graph, FORMS["litert"]), reference)
    np.testing.assert_array_equal(rewritten, kernel)
    np.testing.assert_array_equal(rewritten, np.round(real))


def test_aligned_ranges_are_hardly_wider():
    for low, high in RANGES:
        if 0.1 < high - low < 60 and low < 0 < high:
            *x, result = _aligned(low, high)
            assert high - low <= (x[1] - x[0]) * (1 + 1e-6) <= 1.02 * (high - low)
            values = np.linspace(low, high, 1001)
            wanted = np.ptp([0, *(values * np.clip(values + 3, 0, 6) / 6)])
            assert 0.999 * wanted <= result[1] - result[0] <= 1.031 * wanted


def test_rewriting_a_converted_model_keeps_its_answers(converted, images, tmp_path):
    native, rewritten = converted["nnapi"], tmp_path / "rewritten.tflite"
    rewritten.write_bytes(rewrite(native.read_bytes(), FORMS["litert"]))
    assert "HARD_SWISH" not in tflite.inspect(rewritten).operator_counts
    kept, given = (tflite.evaluate(path, images).predictions for path in (native, rewritten))
    assert (given == kept).all(axis=1).mean() > 0.9  # a scale rounded to float32 may move a tie in a convolution
    np.testing.assert_array_equal(given.argmax(-1), kept.argmax(-1))
    assert kept.std() > 0.02


@pytest.mark.parametrize(("low", "high"), [(-20, 0.02), (-3, 0.05), (-2.4, 0.02), (-5.3, 0.07)])
def test_h_swish_of_hardly_anything_positive_is_within_two_steps(low, high):
    graph, real = _h_swish(low, high)
    assert np.abs(_run(rewrite(graph, FORMS["litert"])) - np.round(real)).max() <= 2


@pytest.mark.parametrize("step", [2.0, 0.5])
def test_xnnpack_takes_a_sum_with_a_constant_of_much_finer_steps(step):
    build = _Builder()
    image = build.tensor(BYTES.shape, step, 0)
    biases = build.tensor((1, 16, 16, 1), 2.0**-11, 23, np.random.default_rng(0).permutation(BYTES.ravel()))
    build.operator("ADD", [image, biases], build.tensor(BYTES.shape, step, 0), schema.AddOptionsT(), version=2)
    graph = build.bytes(image)
    rewritten = rewrite(graph, FORMS["litert"])
    assert _refused(graph) == (["ADD"] if step == 2 else [])
    assert _refused(rewritten) == []
    real = BYTES.ravel() + (build.values(biases) - 23) * 2.0**-11 / step
    assert np.abs(_run(rewritten) - np.clip(real, -128, 127)).max() < 0.51
    assert np.ptp((build.values(biases) - 23) * 2.0**-11) > 0.1


@pytest.mark.parametrize("maker", ["CONV_2D", "ADD"])
def test_xnnpack_takes_h_swish_whole(maker):
    graph, _ = _h_swish(-4, 6, maker=maker)
    assert _refused(graph) == ["HARD_SWISH"]
    assert _refused(rewrite(graph, FORMS["litert"])) == []


def test_a_softmax_inside_the_graph_is_computed_in_float():
    graph, real = _softmax(inside=True)
    rewritten = rewrite(graph, FORMS["litert"])
    assert _refused(graph) == ["SOFTMAX"]
    assert _names(rewritten) == ["DEQUANTIZE", "SOFTMAX", "QUANTIZE", "ADD"]
    assert _refused(rewritten) == []
    assert np.abs(_run(rewritten) - real).max() < 0.501
    assert np.abs(_run(graph) - real).max() <= 1
    assert np.ptp(real) > 100


def test_a_softmax_at_the_end_stays():
    graph, _ = _softmax(inside=False)
    assert _names(rewrite(graph, FORMS["litert"])) == ["SOFTMAX"]
    assert _names(rewrite(_softmax(inside=True)[0], FORMS["nnapi"])) == ["SOFTMAX", "ADD"]


def test_hard_sigmoid_loses_its_product_and_keeps_its_integers():
    graph = _hard_sigmoid(top=6.0, result_top=1.0)
    rewritten = rewrite(graph, FORMS["litert"])
    assert _names(graph) == ["CONV_2D", "MUL"]
    assert _names(rewritten) == ["CONV_2D"]
    np.testing.assert_array_equal(_run(rewritten, True), _run(graph, True))
    assert _scale(rewritten) == pytest.approx(1 / 255)


@pytest.mark.parametrize(("top", "result_top"), [(8.0, 8 / 6), (6.0, 1.2)])
def test_a_product_stays_where_the_relu6_clips_or_the_scales_differ(top, result_top):
    graph = _hard_sigmoid(top, result_top)
    assert _names(rewrite(graph, FORMS["litert"])) == ["CONV_2D", "MUL"]


@pytest.mark.parametrize(("size", "strides"), [(2, 2), (3, 1)])
@pytest.mark.parametrize("reference", [True, False])
def test_an_average_inside_the_map_is_a_convolution_of_equal_weights(size, strides, reference):
    graph, image, real = _average(size, strides, schema.Padding.VALID)
    rewritten = rewrite(graph, FORMS["litert"])
    assert _names(rewritten) == ["DEPTHWISE_CONV_2D"]
    assert _names(rewrite(graph, FORMS["nnapi"])) == ["AVERAGE_POOL_2D"]
    assert _refused(graph) == ["AVERAGE_POOL_2D"] and _refused(rewritten) == []
    assert np.abs(_run(rewritten, reference, image) - real).max() < (0.76 if reference else 0.501)  # it rounds twice


@pytest.mark.parametrize(("size", "strides"), [(3, 1), (3, 2), (5, 3)])
@pytest.mark.parametrize("reference", [True, False])
def test_an_average_that_leaves_out_what_lies_beyond_the_map_is_multiplied_there(size, strides, reference):
    graph, image, _ = _average(size, strides, schema.Padding.SAME)
    rewritten, kernel = rewrite(graph, FORMS["litert"]), _run(graph, True, image)
    assert _names(rewritten) == ["DEPTHWISE_CONV_2D", "MUL"]
    assert _refused(rewritten) == []
    found, side = _run(rewritten, reference, image), round(len(kernel) ** 0.5)
    assert np.abs(found - kernel).max() <= 2
    assert np.abs((found - kernel).reshape(side, side)[1:-1, 1:-1]).max() <= (1 if reference else 0)


@pytest.mark.parametrize("filters", [8, 16, 24, 32])
@pytest.mark.parametrize("reference", [True, False])
def test_a_wide_stem_gives_the_same_integers(filters, reference):
    graph = _stem(32, filters)
    rewritten = rewrite(graph, FORMS["litert"])
    assert _names(rewritten) == ["RESHAPE", "CONV_2D", "RESHAPE"]
    image = np.random.default_rng(1).integers(-128, 128, (1, 32, 32, 3)).astype(np.int8)
    plain = _run(graph, reference, image)
    np.testing.assert_array_equal(_run(rewritten, reference, image), plain)
    assert plain.std() > 20


@pytest.mark.parametrize("change", [{"size": 33}, {"stride": 1}, {"padding": schema.Padding.VALID}, {"kernel": 5}])
def test_other_stems_stay(change):
    assert _names(rewrite(_stem(**{"size": 32, "filters": 16} | change), FORMS["litert"])) == ["CONV_2D"]


def test_weights_that_two_layers_share_are_scaled_for_one_only():
    build = _Builder()
    image = build.tensor(BYTES.shape, 0.03, 0)
    first = build.convolution(image, np.full((1, 1, 1, 1), 127, np.int8), 1 / 127, 0.03)
    second = build.convolution(first, np.full((1, 1, 1, 1), 127, np.int8), 1 / 127, 0.03)
    build.graph.operators[1].inputs[1] = build.graph.operators[0].inputs[1]
    build.operator("HARD_SWISH", [second], build.tensor(BYTES.shape, 0.017, -106))
    graph = build.bytes(image)
    assert np.abs(_run(rewrite(graph, FORMS["litert"]), True) - _run(graph, True)).max() <= 1


def _gelu(scale, zero_point):
    """GELU behind something that changes nothing, and the real results."""
    x = (BYTES.astype(np.float64) - zero_point) * scale
    y = x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2
    result_scale, result_zero = _affine(min(y.min(), 0), y.max())
    build = _Builder()
    image = build.tensor(BYTES.shape, scale, zero_point)
    one = np.full((1, 1, 1, 1), 127, np.int8)
    values = build.convolution(image, one, 1 / 127, scale, zero_point=zero_point)
    result = build.operator(
        "GELU", [values], build.tensor(BYTES.shape, result_scale, result_zero), schema.GeluOptionsT(), version=2
    )
    build.convolution(result, one, 1 / 127, result_scale, zero_point=result_zero)
    return build.bytes(image), y / result_scale + result_zero


@pytest.mark.parametrize(("scale", "zero_point"), [(0.03, 0), (0.1, -60), (0.01, 127)])
def test_gelu_in_float_is_the_real_one_rounded_and_cuts_nothing(scale, zero_point):
    content, real = _gelu(scale, zero_point)
    assert _partitions(content) == 2  # XNNPACK leaves the int8 operator to the plain kernel
    rewritten = rewrite(content, FORMS["litert"])
    assert _names(rewritten) == ["CONV_2D", "DEQUANTIZE", "GELU", "QUANTIZE", "CONV_2D"]
    assert _partitions(rewritten) == 1
    assert np.abs(_run(rewritten, True) - real.ravel()).max() < 0.51
    assert _names(rewrite(content, FORMS["qualcomm"])) == _names(content)


@pytest.mark.parametrize(("scale", "zero_point"), [(0.005, 0), (0.02, 0), (0.03, 0), (0.1, -60), (0.2, 0)])
@pytest.mark.parametrize("reference", [True, False])
def test_gelu_by_the_logistic_function_is_the_real_one_within_a_step_and_a_half(scale, zero_point, reference):
    content, real = _gelu(scale, zero_point)
    rewritten = rewrite(content, FORMS["nnapi"])
    assert _names(rewritten) == ["CONV_2D", "MUL", "MUL", "ADD", "MUL", "LOGISTIC", "MUL", "CONV_2D"]
    error = _run(rewritten, reference) - real.ravel()
    assert np.abs(error).max() < 1.5
    assert np.square(error).mean() < 0.25


def test_gelu_of_hardly_anything_positive_stays():
    content, _ = _gelu(0.01, 127)
    assert _names(rewrite(content, FORMS["nnapi"])) == _names(content)


# Graphs of a few operators, written by hand so that their scales are known.


class _Builder:
    def __init__(self):
        self.graph = schema.SubGraphT(tensors=[], operators=[])
        self.model = schema.ModelT(version=3, operatorCodes=[], buffers=[schema.BufferT()], subgraphs=[self.graph])

    def tensor(self, shape, scales, zero_point, values=None):
        scales = np.atleast_1d(np.asarray(scales, np.float32))
        quantization = schema.QuantizationParametersT(
            scale=scales, zeroPoint=np.full(len(scales), zero_point, np.int64)
        )
        buffer, dtype = 0, schema.TensorType.INT8
        if values is not None:
            self.model.buffers.append(schema.BufferT(data=np.frombuffer(values.tobytes(), np.uint8)))
            buffer, dtype = len(self.model.buffers) - 1, getattr(schema.TensorType, values.dtype.name.upper())
        name = f"t{len(self.graph.tensors)}".encode()
        self.graph.tensors.append(schema.TensorT(np.array(shape, np.int32), dtype, buffer, name, quantization))
        return len(self.graph.tensors) - 1

    def values(self, constant):
        return self.model.buffers[self.graph.tensors[constant].buffer].data.view(np.int8).astype(int)

    def constant(self, values, scales):
        return self.tensor(values.shape, scales, 0, values)

    def operator(self, name, inputs, output, options=None, version=1):
        number = getattr(schema.BuiltinOperator, name)
        self.model.operatorCodes.append(schema.OperatorCodeT(min(number, 127), version=version, builtinCode=number))
        kind = getattr(schema.BuiltinOptions, type(options).__name__[:-1]) if options else 0
        self.graph.operators.append(
            schema.OperatorT(len(self.model.operatorCodes) - 1, inputs, [output], kind, options)
        )
        return output

    def convolution(
        self, source, kernel, weight_scales, scale, bias=None, zero_point=0, stride=1, activation=0, padding=0
    ):
        """With `kernel` filters × height × width × channels; `scale` and `zero_point` are the result's."""
        tensors, out = self.graph.tensors, -(-self.graph.tensors[source].shape[1] // stride)
        if padding == schema.Padding.VALID:
            out = (tensors[source].shape[1] - kernel.shape[1]) // stride + 1
        weights = self.constant(kernel, weight_scales)
        if bias is None:
            scales = np.atleast_1d(weight_scales) * tensors[source].quantization.scale[0]
            bias = self.constant(np.zeros(len(kernel), np.int32), scales)
        result = self.tensor((1, out, out, len(kernel)), scale, zero_point)
        options = schema.Conv2DOptionsT(padding, stride, stride, activation)
        return self.operator("CONV_2D", [source, weights, bias], result, options, version=3)

    def bytes(self, image):
        self.graph.inputs, self.graph.outputs = [image], list(self.graph.operators[-1].outputs)
        return flatbuffer.write(self.model)


def _aligned(low, high):
    """The range that calibration makes of this one at an h-swish, and that of the result."""
    build = _Builder()
    x, result = build.tensor(BYTES.shape, 1, 0), build.tensor(BYTES.shape, 1, 0)
    build.operator("HARD_SWISH", [x], result)
    values = np.linspace(low, high, 10001)
    values = values * np.clip(values + 3, 0, 6) / 6
    for tensor, ends in ((x, (low, high)), (result, (values.min(), values.max()))):
        flatbuffer.set_range(build.graph.tensors[tensor], *ends)
    hard_swish.align(build.model)
    ranges = [build.graph.tensors[tensor].quantization for tensor in (x, result)]
    x, result = ((float(found.min[0]), float(found.max[0])) for found in ranges)
    return *x, result


def _h_swish(low, high, result=None, maker="CONV_2D", shape=BYTES.shape):
    """HARD_SWISH behind something that changes nothing, for values from low to high; and the real results in steps."""
    scale, zero_point = _affine(low, high)
    x = (BYTES.ravel().astype(np.float64) - zero_point) * scale
    y = x * np.clip(x + 3, 0, 6) / 6
    result_scale, result_zero = _affine(*(result or (min(y.min(), 0), max(y.max(), 0))))
    build = _Builder()
    image = build.tensor(shape, scale, zero_point)
    if maker == "CONV_2D":
        one = np.full((1, 1, 1, 1), 127, np.int8)
        values = build.convolution(image, one, 1 / 127, scale, zero_point=zero_point)
    else:
        zero = build.constant(np.zeros((1,) * len(shape), np.int8), scale)
        values = build.tensor(shape, scale, zero_point)
        build.operator("ADD", [image, zero], values, schema.AddOptionsT(), version=2)
    build.operator("HARD_SWISH", [values], build.tensor(shape, result_scale, result_zero))
    return build.bytes(image), np.clip(y / result_scale + result_zero, -128, 127)


def _softmax(inside):
    """SOFTMAX over 256 values, with an ADD of nothing behind it; and the real results in steps of 1/256."""
    build = _Builder()
    image = build.tensor((1, 256), 0.7, 0)
    result = build.tensor((1, 256), 1 / 256, -128)
    build.operator("SOFTMAX", [image], result, schema.SoftmaxOptionsT(beta=1.0), version=2)
    if inside:
        zero = build.constant(np.zeros((1, 1), np.int8), 1 / 256)
        build.operator("ADD", [result, zero], build.tensor((1, 256), 1 / 256, -128), schema.AddOptionsT(), version=2)
    shares = np.exp(BYTES.ravel() * 0.7)
    return build.bytes(image), np.clip(shares / shares.sum() * 256 - 128, -128, 127)


def _hard_sigmoid(top, result_top):
    """ReLU6, with int8 values up to `top`, times 1/6, with values up to `result_top`."""
    build = _Builder()
    image = build.tensor(BYTES.shape, 10 / 255, 0)
    values = build.convolution(
        image, np.full((1, 1, 1, 1), 127, np.int8), 2 / 127, top / 255, zero_point=-128,
        activation=schema.ActivationFunctionType.RELU6,
    )  # fmt: skip
    sixth = build.tensor((), 1 / 6 / 255, -128, np.array(127, np.int8))
    result = build.tensor(BYTES.shape, result_top / 255, -128)
    build.operator("MUL", [values, sixth], result, schema.MulOptionsT(), version=2)
    return build.bytes(image)


def _average(size, strides, padding):
    """A pooling of 256 shuffled values, those values, and the real results where it stays inside the map."""
    build, image = _Builder(), np.random.default_rng(0).permutation(BYTES.ravel()).reshape(BYTES.shape)
    result = (16 - size) // strides + 1 if padding == schema.Padding.VALID else -(-16 // strides)
    source = build.tensor(BYTES.shape, 0.1, 3)
    options = schema.Pool2DOptionsT(padding, strides, strides, size, size)
    build.operator("AVERAGE_POOL_2D", [source], build.tensor((1, result, result, 1), 0.1, 3), options, version=2)
    windows = np.lib.stride_tricks.sliding_window_view(image[0, ..., 0].astype(float), (size, size))
    return build.bytes(source), image, windows[::strides, ::strides].mean((2, 3)).ravel()


def _stem(size, filters, stride=2, padding=schema.Padding.SAME, kernel=3):
    rng, build = np.random.default_rng(0), _Builder()
    image = build.tensor((1, size, size, 3), 1 / 127.5, -1)
    weights = rng.integers(-127, 128, (filters, kernel, kernel, 3)).astype(np.int8)
    scales = rng.uniform(0.001, 0.003, filters)
    bias = build.constant(rng.integers(-20000, 20000, filters).astype(np.int32), scales / 127.5)
    build.convolution(image, weights, scales, 0.02, bias, zero_point=-5, stride=stride, padding=padding)
    return build.bytes(image)


def _affine(low, high):
    scale = float(np.float32((high - low) / 255))
    return scale, round(-128 - low / scale)


def _interpreter(graph, reference=False):
    resolver = OpResolverType.BUILTIN_REF if reference else OpResolverType.AUTO
    with suppress_native_output():
        interpreter = Interpreter(model_content=graph, experimental_op_resolver_type=resolver, num_threads=1)
        interpreter.allocate_tensors()
    return interpreter


def _run(graph, reference=False, image=BYTES):
    interpreter = _interpreter(graph, reference)
    source = interpreter.get_input_details()[0]
    interpreter.set_tensor(source["index"], image.reshape(source["shape"]))
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).ravel().astype(int)


def _names(graph):
    model = flatbuffer.read(graph)
    return [flatbuffer.operator_name(model, operator) for operator in model.subgraphs[0].operators]


def _scale(graph):
    return _interpreter(graph).get_output_details()[0]["quantization"][0]


def _partitions(graph):
    return Model("", _interpreter(graph), 1).delegation()[2]


def _refused(graph):
    """The operators that XNNPACK refuses, where the others are delegated in one partition."""
    model = Model("", _interpreter(graph), 1)
    _, _, partitions = model.delegation()
    assert partitions <= 1
    delegated = model.delegated_operators()
    return [name for index, name in enumerate(_names(graph)) if index not in delegated]
