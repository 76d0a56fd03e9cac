"""Calibration methods, layers left in float, equalization, bias correction, and the tools that say where int8 errs."""

import json

import keras
import networks
import numpy as np
import pytest
from networks import answers, coloured_noise, randomize

import keras_mobilenets as km
from keras_mobilenets import tflite
from keras_mobilenets.tflite.conversion.float_graph import float_graph
from keras_mobilenets.tflite.conversion.quantization.calibration import Histogram
from keras_mobilenets.tflite.conversion.quantization.correction.equalization import equalize
from keras_mobilenets.tflite.graph import flatbuffer, layer_names
from keras_mobilenets.tflite.graph.weights import WeightedGraph
from keras_mobilenets.tflite.runtime.activations import Activations, dequantized, outputs

SIZE = 32


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return randomize(km.MobileNetV2((SIZE, SIZE, 3), 0.35, classes=10, name="net"))


@pytest.fixture(scope="module")
def images():
    return coloured_noise(40, SIZE)


@pytest.fixture(scope="module")
def scaled(images):
    return km.preprocess_input(images).astype(np.float32)


@pytest.fixture(scope="module")
def int8(model, images, tmp_path_factory):
    path = tmp_path_factory.mktemp("int8") / "m.tflite"
    settings = {"calibration_method": "minmax", "target": "xnnpack"}
    return tflite.convert(model, path, quantize="int8", calibration=images, **settings)


@pytest.fixture(scope="module")
def uneven():
    return networks.uneven(SIZE)


def test_activations_are_named_after_keras_layers(model, int8):
    found = tflite.inspect(int8).operators
    names = [layer for operator in found for layer in layer_names.layers(operator.outputs[0].name)]
    known = {layer.name for layer in model.layers}
    assert {"stem", "stem_bn", "stem_relu6", "block_2_add", "predictions"} <= set(names) & known
    assert len({operator.outputs[0].name for operator in found}) == len(found)


def test_layer_errors_are_what_keras_and_the_runtime_give(model, images, scaled, int8, tmp_path):
    errors = tflite.layer_errors(model, int8, images, limit=8)
    assert errors.activations - 2 == len(errors.errors) == 67  # two stand for the stem in groups of pixels
    layer = keras.Model(model.inputs, model.get_layer("block_3_project_bn").output)
    expected = answers(layer, scaled[:8])
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(int8), experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    detail = next(d for d in interpreter.get_tensor_details() if d["name"].startswith("block_3_project;"))
    computed = []
    for image in images[:8]:
        interpreter.set_tensor(source, (image.astype(np.int16) - 128).astype(np.int8)[None])
        interpreter.invoke()
        computed.append(dequantized(interpreter.get_tensor(detail["index"]), *detail["quantization"]))
    computed = np.concatenate(computed)
    found = next(e for e in errors.errors if e.layer == "block_3_project")
    sqnr = 10 * np.log10((expected**2).sum() / ((computed - expected) ** 2).sum())
    assert found.sqnr_db == pytest.approx(sqnr, abs=0.05)
    cosine = (computed * expected).sum() / np.linalg.norm(computed) / np.linalg.norm(expected)
    assert found.cosine == pytest.approx(cosine, abs=1e-4)
    assert found.bias == pytest.approx((computed - expected).mean(), abs=1e-4)
    saved = json.loads(errors.save(tmp_path / "layer_errors.json").read_text())
    assert list(saved) == [int8.stem]
    assert set(saved[int8.stem][0]) == {"index", "operator", "layer", "sqnr_db", "cosine"}


def test_a_layer_with_a_wrong_scale_is_named(model, images, int8, tmp_path):
    graph = WeightedGraph(int8.read_bytes())
    operator = next(op for op in graph.operators if graph.name(op) == "FULLY_CONNECTED")
    quantization = graph.tensors[int(operator.inputs[1])].quantization
    quantization.scale = quantization.scale * 3
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(graph.write())
    sound, errors = (tflite.layer_errors(model, path, images, limit=8) for path in (int8, broken))
    assert "predictions" in [error.layer for error in errors.worst(2)]
    assert "predictions" not in [error.layer for error in sound.worst(2)]
    assert "predictions" in "\n".join(str(errors).splitlines()[2:4])


@pytest.mark.slow
def test_a_target_that_scales_a_layers_output_shows_the_same_errors(images, tmp_path):
    model = randomize(km.MobileNetV3Small((SIZE, SIZE, 3), 0.5, classes=10))
    found = {}
    for target in ("nnapi", "xnnpack"):
        path = tflite.convert(
            model, tmp_path / target, quantize="int8", effort="low", calibration=images, target=target
        )
        found[target] = {(e.layer, e.operator): e.sqnr_db for e in tflite.layer_errors(model, path, images, 8).errors}
    both = found["nnapi"].keys() & found["xnnpack"].keys()
    assert len(both) > 65
    for key in both:
        assert found["nnapi"][key] == pytest.approx(found["xnnpack"][key], abs=3), (
            key
        )  # dense layers differ, per tensor or per channel


def test_files_of_other_converters_have_nothing_to_compare(model, tflite_files, images):
    with pytest.raises(km.UserError, match="by name"):
        tflite.layer_errors(model, tflite_files["int8"], images)


def test_the_layer_with_the_uneven_channel_is_the_most_sensitive(uneven, images):
    found = tflite.sensitivity(uneven, (images, np.arange(40) % 10), limit=16)
    assert set(found.worst(2)) == {"b", "c"}
    assert found.layers[0].sqnr_db < found.layers[2].sqnr_db - 10
    assert found.images == 16 and 0 <= found.float_top1 <= 1
    assert {row.layer for row in found.layers} == {"a", "b", "c", "d", "pool", "answer"} - {"answer"} | {"output"}
    assert "b " in str(found)


def test_one_score_tells_two_classes_apart(images):
    labels = (images.mean(axis=(1, 2, 3)) > 128).astype(int)
    keras.utils.set_random_seed(0)
    x = image = keras.Input((SIZE, SIZE, 3))
    for layer in (keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(8, 3), keras.layers.GlobalAveragePooling2D()):
        x = layer(x)
    net = keras.Model(image, keras.layers.Dense(1, activation="sigmoid")(x))
    net.compile("sgd", metrics=["binary_accuracy"], loss="binary_crossentropy")
    net.layers[-1].bias.assign(
        -np.median(net.layers[-1].kernel.numpy().T @ keras.Model(image, x).predict(images).T, axis=1)
    )
    found = tflite.sensitivity(net, (images, labels), limit=len(images))
    assert found.float_top1 == pytest.approx(net.evaluate(images.astype(np.float32), labels, verbose=0)[1])
    assert 0 < found.float_top1 < 1
    assert max(row.divergence for row in found.layers) > 0


def test_blocks_are_quantized_as_one(model, images):
    found = tflite.sensitivity(model, images, limit=2, by="block")
    assert {"stem", "block_0", "block_16", "head"} <= {row.layer for row in found.layers}
    assert len(found.layers) < 25


@pytest.mark.parametrize(("asked", "expected"), [(["b", "c"], {"b", "c"}), (2, {"b", "c"}), (["d"], {"d"})])
def test_layers_stay_in_float_named_or_the_worst(uneven, images, scaled, tmp_path, asked, expected):
    def sqnr(path):
        expected, said = answers(uneven, scaled), tflite.evaluate(path, images).predictions
        return 10 * np.log10((expected**2).sum() / ((said - expected) ** 2).sum())

    all_int8 = tflite.convert(uneven, tmp_path / "all.tflite", quantize="int8", effort="low", calibration=images)
    path = tflite.convert(
        uneven,
        tmp_path / "m.tflite",
        quantize="int8",
        effort="low",
        calibration=images,
        leave_in_float=asked,
        target="xnnpack",
    )
    assert set(layer_names.float_layers(path.read_bytes())) == expected
    floats = [operator.name for operator in tflite.inspect(path).operators if operator.is_float]
    assert floats.count("CONV_2D") == len(expected)
    if "b" in expected:
        assert sqnr(path) > sqnr(all_int8) + 10


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"leave_in_float": ["block_1_expandd"]}, "did you mean block_1_expand"),
        ({"leave_in_float": "stem"}, "list of layer names"),
        ({"leave_in_float": -1}, "0 or more"),
        ({"calibration_method": "entropy"}, "minmax, percentile, mse"),
        ({"leave_in_float": 2, "quantize": "float16"}, "int8"),
        ({"equalize": True, "quantize": "none"}, "int8"),
    ],
)
def test_a_bad_request_is_refused_in_one_line(model, images, tmp_path, arguments, says):
    with pytest.raises(km.UserError, match=says) as refused:
        tflite.convert(model, tmp_path / "m.tflite", **{"quantize": "int8", "calibration": images} | arguments)
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir())


def _largest(content, scaled):
    """Of each channel of each activation the largest magnitude on the images, by name."""
    activations, graph = Activations(content), flatbuffer.read(content).subgraphs[0]
    found = {}
    for image in scaled:
        for tensor, values in zip(activations.tensors, activations.run([image[None]]), strict=True):
            name = graph.tensors[tensor].name.decode()
            largest = np.abs(values).reshape(-1, values.shape[-1]).max(axis=0)
            found[name] = np.maximum(found.get(name, 0), largest)
    return found


@pytest.mark.parametrize(
    ("name", "scaled_activations"),
    [("MobileNetV1", 28), ("MobileNetV2", 58), ("MobileNetV3Small", 10), ("ResNet18", 20)],
)
def test_equalization_keeps_the_function_and_evens_out_channels(name, scaled_activations, scaled):
    arguments = {"ResNet18": (0.25,), "MobileNetV3Small": (0.5,)}.get(name, (0.35,))
    network = getattr(km, name)((SIZE, SIZE, 3), *arguments, classes=10)
    content = float_graph(randomize(network, scales=(0.1, 2))).content
    equalized = equalize(content, [scaled])
    (expected,), (found,) = outputs(content, [scaled]), outputs(equalized, [scaled])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    graph, narrow, wide = WeightedGraph(equalized), _largest(content, scaled), _largest(equalized, scaled)
    names = [name for name in wide if name.endswith(" equalized")]
    shares = [[np.median(x / x.max()) for x in (narrow[name.removesuffix(" equalized")], wide[name])] for name in names]
    assert np.mean(shares, axis=0) @ [-1, 1] > 0.1
    assert len(names) >= scaled_activations
    for operator in graph.operators:
        source = graph.tensors[operator.inputs[0]].name.decode()
        if graph.name(operator) == "DEPTHWISE_CONV_2D" and source in names:
            before = narrow[source.removesuffix(" equalized")]
            after = wide[source]
            np.testing.assert_allclose(after[before > after.max() / 199], after.max(), rtol=0.01)


def test_bias_correction_lessens_the_mean_error_of_channels(uneven, scaled, images, tmp_path):
    """The uneven layer's weights err much when one scale holds for all of a dense layer; so do its channels' means."""
    model = randomize(km.MobileNetV1((SIZE, SIZE, 3), 0.35, classes=10), kernels=True)
    content = float_graph(model).content
    errors = {}
    for corrected in (False, True):
        how = {"calibration_method": "percentile", "bias_correction": corrected}
        path = tflite.convert(model, tmp_path / "m.tflite", quantize="int8", calibration=images, **how)
        errors[corrected] = _mean_errors(content, path.read_bytes(), scaled)
    assert np.mean(errors[True]) < 0.8 * np.mean(errors[False])


def _mean_errors(floats, quantized, images):
    """For every convolution, the mean over channels of |mean of int8 − mean of float|, in parts of the deviation."""
    expected, computed = Activations(floats), Activations(quantized)
    model = flatbuffer.read(quantized)
    tensors = model.subgraphs[0].tensors
    place = {t.name: i for i, t in enumerate(flatbuffer.read(floats).subgraphs[0].tensors)}
    sums = {}
    for image in images:
        real = dict(zip(expected.tensors, expected.run([image[None]]), strict=True))
        for tensor, stored in zip(computed.tensors, computed.run([image[None]]), strict=True):
            if stored.ndim == 4 and tensors[tensor].name in place:
                (scale,), zero_point = flatbuffer.scales(tensors[tensor])
                x = real[place[tensors[tensor].name]]
                difference = dequantized(stored, scale, zero_point) - x
                sums[tensor] = sums.get(tensor, 0) + difference.mean(axis=(0, 1, 2)) / x.std()
    return [np.abs(total / len(images)).mean() for total in sums.values()]


def test_rare_values_do_not_widen_a_range():
    rng = np.random.default_rng(0)
    histogram, values = Histogram(), rng.normal(0, 1, (100, 1000))
    values[50, :3] = 400, -300, 200
    for row in values:
        histogram.add(row)
    low, high = histogram.range("percentile")
    assert -30 < low < -3 and 3 < high < 30


def test_the_least_error_is_that_of_real_rounding():
    """Against a search over all ranges with the rounding carried out."""
    values = np.random.default_rng(0).laplace(0, 1, 200_000)
    histogram = Histogram()
    histogram.add(values)
    low, high = histogram.range("mse")

    def error(a, b):
        step = (b - a) / 255
        return ((np.clip(np.round(values / step) * step, a, b) - values) ** 2).mean()

    best = min(error(-end, end) for end in np.linspace(2, 15, 60))
    assert error(low, high) < 1.05 * best
    assert error(low, high) < 0.9 * error(values.min(), values.max())


def test_percentiles_are_those_of_numpy():
    values = np.random.default_rng(0).gamma(2, 1, 100_000) * 3
    histogram = Histogram()
    for part in np.split(np.sort(values), 10):  # each part begins beyond the last: the bins widen
        histogram.add(part)
    low, high = histogram.range("percentile")
    assert low == 0
    assert high == pytest.approx(np.percentile(values, 99.995), rel=0.02)


def test_methods_narrow_the_ranges_of_feature_maps_only(model, images, int8, tmp_path):
    def scales(path):
        return {o.outputs[0].name: (o.outputs[0].scales[0], o.outputs[0].shape) for o in tflite.inspect(path).operators}

    wide = scales(int8)
    for method in ("percentile", "mse"):
        path = tflite.convert(
            model,
            tmp_path / "m.tflite",
            quantize="int8",
            calibration=images,
            target="xnnpack",
            calibration_method=method,
        )
        for name, (scale, shape) in scales(path).items():
            assert scale <= wide[name][0] * 1.001
            if len(shape) == 2:
                assert scale == pytest.approx(wide[name][0])
        assert sum(scale < 0.999 * wide[name][0] for name, (scale, _) in scales(path).items()) > 4
