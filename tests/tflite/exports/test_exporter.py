"""Exported files in ONNX Runtime itself and in OpenVINO, beside LiteRT and Keras."""

import builtins
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from networks import answers

import keras_mobilenets as km
from keras_mobilenets import tflite
from keras_mobilenets.errors import UserError
from keras_mobilenets.pixels.batches import to_input
from keras_mobilenets.pixels.scaling import MINUS_ONE_TO_ONE, PixelWarning
from keras_mobilenets.tflite.exports import onnx_graph
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.measurement.accuracy import input_shape
from keras_mobilenets.tflite.runtime.exported_file import open_exported
from keras_mobilenets.tflite.runtime.interpreter import open_model

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")
pytest.importorskip("tf2onnx", reason="needs the extra onnx")


def by_onnxruntime(path, source, pixels, together=False):
    """Raw outputs of a plain session, which shares no code with `evaluate`, for the .tflite's own input values."""
    session = onnxruntime.InferenceSession(str(path))
    (end,) = session.get_inputs()
    model = open_model(source)
    values = to_input(pixels, MINUS_ONE_TO_ONE, model.input["dtype"], model.input["quantization"])
    expected = np.concatenate([model.run(value[None]) for value in values])
    values = values.transpose(0, 3, 1, 2) if end.shape[1] == 3 else values
    batches = [values] if together else [value[None] for value in values]
    return np.concatenate([session.run(None, {end.name: batch})[0] for batch in batches]), expected


def of_one_operator(path, shape, kind, **options):
    """An ONNX file that others made."""
    helper = onnx.helper
    ends = [helper.make_tensor_value_info(*end) for end in (("x", 1, shape), ("y", 1, None))]
    graph = helper.make_graph([helper.make_node(kind, ["x"], ["y"], **options)], kind, ends[:1], ends[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


@pytest.mark.parametrize("layout, batch", [("nhwc", 1), ("nchw", None)])
def test_float_onnx_answers_as_keras(files, pixels, tmp_path, layout, batch):
    path = tflite.export(files["nnapi", "none"], tmp_path / "m.onnx", layout=layout, batch=batch)

    found, _ = by_onnxruntime(path, files["nnapi", "none"], pixels, together=batch is None)

    np.testing.assert_allclose(found, answers(files["keras"], pixels / 127.5 - 1), atol=1e-4)


@pytest.mark.parametrize("target", ["nnapi", "xnnpack", "litert"])
def test_int8_onnx_is_within_a_level_of_every_form(files, pixels, tmp_path, target):
    source = files[target, "int8"]
    path = tflite.export(source, tmp_path / "m.onnx")

    found, expected = by_onnxruntime(path, source, pixels)

    assert np.ptp(expected.astype(int)) > 100
    assert np.abs(found.astype(int) - expected).max() <= 1
    nodes = [node.op_type for node in onnx.load(path).graph.node]
    assert nodes.count("QuantizeLinear") > 8 and nodes.count("Transpose") <= 8


def test_a_stock_int8_file_of_float_ends_is_judged_by_its_levels_and_what_is_assumed_is_not_written(
    keras_model, pixels, tmp_path
):
    pytest.importorskip("openvino", reason="needs the extra openvino")
    converter = tf.lite.TFLiteConverter.from_keras_model(keras_model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[None].astype(np.float32) / 127.5 - 1] for image in pixels[:8])
    source = tmp_path / "stock.tflite"
    source.write_bytes(converter.convert())

    paths = [tflite.export(source, format=format) for format in ("onnx", "openvino")]

    for path in paths:
        found, expected = (tflite.evaluate(each, pixels, pixels="-1..1").predictions for each in (path, source))
        assert np.abs(found - expected).max() <= 1.01 / 256  # one level in front of the last DEQUANTIZE
        assert open_exported(path).record.scaling is None


def test_metadata_holds_labels_and_the_meaning_of_pixels(files, tmp_path):
    path = tflite.export(files["nnapi", "int8"], tmp_path / "m.onnx", layout="nchw")

    said = {entry.key: entry.value for entry in onnx.load(path).metadata_props}

    assert json.loads(said["labels"]) == [f"class {number}" for number in range(7)]
    assert json.loads(said["pixel_mean"]) == json.loads(said["pixel_std"]) == [127.5]
    assert said["layout"] == "nchw"
    scale, zero_point = json.loads(said["input_quantization"])
    assert (scale, zero_point) == pytest.approx((1 / 127.5, -1), rel=1e-3)


@pytest.mark.parametrize("format, package", [("onnx", "onnxruntime"), ("openvino", "openvino")])
def test_evaluate_and_benchmark_take_exported_files(files, pixels, tmp_path, format, package):
    pytest.importorskip(package, reason=f"needs the extra {format}")
    labels = answers(files["keras"], pixels / 127.5 - 1).argmax(axis=1)
    for quantize in ("none", "int8"):
        source = files["nnapi", quantize]
        path = tflite.export(
            source,
            (tmp_path / f"{quantize}.x").with_suffix({"onnx": ".onnx"}.get(format, ".xml")),
            format=format,
            layout="nchw",
        )

        found, expected = (tflite.evaluate(each, (pixels, labels)) for each in (path, source))

        step = 1e-4 if quantize == "none" else 1.01 * open_model(source).output["quantization"][0]
        np.testing.assert_allclose(found.predictions, expected.predictions, atol=step)
        assert quantize == "int8" or found.top1 == 1.0
    first, second = tflite.benchmark([source, path], min_runs=20, min_seconds=0, warmup_seconds=0)
    assert (second.model, second.backend, second.quantization) == (path.name, package, "int8")
    assert second.macs == first.macs and second.median_ms > 0 and second.init_ms > 0
    beside = [path, path.with_suffix(".bin")] if package == "openvino" else [path]
    assert round(second.model_size_mb * 1e6) == sum(file.stat().st_size for file in beside)


@pytest.mark.parametrize("quantize", ["none", "int8"])
def test_a_history_is_exported_as_what_it_is(quantize, tmp_path):
    keras.utils.set_random_seed(0)
    model = km.SeparableSequenceNet((8,), 0.25, classes=20, depth=1)
    histories = np.random.default_rng(0).integers(0, 21, (32, 8)).astype(np.int32)
    how = {} if quantize == "none" else {"calibration": histories, "effort": "low"}
    source = tflite.convert(model, tmp_path / "m.tflite", quantize=quantize, **how)

    path = tflite.export(source, keras_model=model if quantize == "none" else None)

    found, expected = (tflite.evaluate(each, (histories, histories[:, -1] % 20)) for each in (path, source))
    np.testing.assert_allclose(found.predictions, expected.predictions, atol=1e-4 if quantize == "none" else 0.05)
    assert found.figures == expected.figures
    assert (
        onnx.load(tflite.export(source, format="tensorrt") / "model.onnx").graph.input[0].type.tensor_type.elem_type
        == 6
    )
    with pytest.raises(UserError, match="takes no images: leave --nchw out"):
        tflite.export(source, layout="nchw")


@pytest.mark.parametrize("quantize", ["none", "int8"])
def test_a_model_of_several_outputs_is_exported(pixels, tmp_path, quantize):
    pytest.importorskip("openvino", reason="needs the extra openvino")
    keras.utils.set_random_seed(0)
    x = image = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(8, 3, strides=4, activation="relu")(x)
    ends = {"mask": keras.layers.Conv2D(2, 1)(x), "class": keras.layers.Dense(5)(keras.layers.Flatten()(x))}
    model = keras.Model(image, ends)
    how = {} if quantize == "none" else {"calibration": pixels, "effort": "low"}
    source = tflite.convert(model, tmp_path / "m.tflite", quantize=quantize, pixels="-1..1", **how)

    paths = [tflite.export(source, format=format, keras_model=model) for format in ("onnx", "openvino")]

    for opened in map(open_exported, paths):
        assert [output["name"] for output in opened.outputs] == ["class", "mask"]
        expected = model(pixels[:1] / 127.5 - 1)
        opened.feed(to_input(pixels[:1], MINUS_ONE_TO_ONE, opened.input["dtype"], opened.input["quantization"]))
        opened.invoke()
        for output, raw in zip(opened.outputs, opened.read_outputs(), strict=True):
            scale, zero_point = output["quantization"]
            values = (raw.astype(float) - zero_point) * scale if scale else raw
            np.testing.assert_allclose(values, expected[output["name"]], atol=4 * scale or 1e-4)
    with pytest.raises(UserError, match="has 2 outputs; a classifier has one"):
        tflite.evaluate(paths[0], pixels, pixels="-1..1")
    symmetric = onnx.load(tflite.export(source, format="tensorrt") / "model.onnx")
    assert [end.type.tensor_type.elem_type for end in symmetric.graph.output] == [1, 1] or quantize == "none"


def test_a_sequential_model_is_compared_and_an_output_that_is_there_twice_is_refused(pixels, tmp_path):
    keras.utils.set_random_seed(0)
    layers = keras.layers.Conv2D(4, 3), keras.layers.Flatten(), keras.layers.Dense(3)
    model = keras.Sequential([keras.Input((32, 32, 3)), *layers])
    source = tflite.convert(model, tmp_path / "m.tflite", quantize="none")
    assert tflite.export(source, keras_model=model).is_file()
    twice = keras.Model(model.inputs, [model.outputs[0]] * 2)
    source = tflite.convert(twice, tmp_path / "twice.tflite", quantize="none")
    with pytest.raises(UserError, match="differently: by inf"):
        tflite.export(source)
    assert not source.with_suffix(".onnx").exists()


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_maps_are_resized_to_any_size(pixels, tmp_path, interpolation):
    inputs = x = keras.Input((30, 41, 3))
    for size in ((27, 38), (10, 14), (9, 13), (31, 11)):
        x = keras.layers.Conv2D(3, 1)(keras.layers.Resizing(*size, interpolation=interpolation)(x))
    model = keras.Model(inputs, x)
    source = tflite.convert(model, tmp_path / "m.tflite", quantize="none")
    assert tflite.export(source, keras_model=model).is_file()
    if interpolation == "bilinear":  # with factors, ties between two pixels fall elsewhere
        path = tflite.export(source, batch=None)
        assert onnxruntime.InferenceSession(str(path)).get_outputs()[0].shape == ["batch", 31, 11, 3]


@pytest.mark.parametrize(("is_half", "is_sparse"), [(True, False), (False, True), (True, True)])
def test_weights_stored_in_float16_or_without_zeros_become_float32(pixels, tmp_path, is_half, is_sparse):
    """As MediaPipe's files have them."""
    keras.utils.set_random_seed(0)
    inputs = x = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(16, 3, strides=4, activation="relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(64, 1, activation="relu", name="wide")(x))
    model = keras.Model(inputs, keras.layers.Dense(5)(x))
    kernel, bias = model.get_layer("wide").get_weights()
    model.get_layer("wide").set_weights([kernel * (np.random.default_rng(0).random(kernel.shape) < 0.1), bias])
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    kinds = tf.lite.Optimize
    converter.optimizations = [kinds.DEFAULT] * is_half + [kinds.EXPERIMENTAL_SPARSITY] * is_sparse
    if is_half:
        converter.target_spec.supported_types = [tf.float16]
    source = tmp_path / "m.tflite"
    source.write_bytes(converter.convert())
    stored = flatbuffer.read(source.read_bytes())
    names = [flatbuffer.operator_name(stored, operator) for operator in stored.subgraphs[0].operators]
    assert ("DENSIFY" in names, "DEQUANTIZE" in names) == (is_sparse, is_half)

    path = tflite.export(source)

    found, expected = by_onnxruntime(path, source, pixels[:3])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(found, answers(model, pixels[:3] / 127.5 - 1), atol=0.01 if is_half else 1e-5)


def test_tensors_may_share_a_name(files, pixels, tmp_path):
    """As the format allows, and as the converter names some itself: those between a front end and its network."""
    model = flatbuffer.read(files["nnapi", "none"].read_bytes())
    for tensor in model.subgraphs[0].tensors:
        tensor.name = b"tensor" if len(tensor.name) % 2 else None
    source = tmp_path / "m.tflite"
    source.write_bytes(flatbuffer.write(model))

    path = tflite.export(source)

    found, expected = by_onnxruntime(path, source, pixels[:2])
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_other_peoples_onnx_of_any_size_and_layout_is_evaluated(tmp_path, pixels):
    """A mean of each channel, channels first: the file says neither what its pixels mean nor how large they are."""
    path = of_one_operator(tmp_path / "mean.onnx", ["N", 3, "H", "W"], "ReduceMean", axes=[2, 3], keepdims=0)

    with pytest.warns(PixelWarning, match="mean.onnx"):
        found = tflite.evaluate(path, pixels).predictions

    np.testing.assert_allclose(found, (pixels / 127.5 - 1).mean(axis=(1, 2)), atol=1e-5)
    assert input_shape(path) == (-1, -1, -1, 3)
    with pytest.raises(UserError, match=r"leaves sizes open, \?×\?×\?×3; give them with --size"):
        tflite.benchmark(path)
    (row,) = tflite.benchmark(path, input_shape=32, min_runs=5, min_seconds=0, warmup_seconds=0)
    assert row.quantization == "none"


def test_exported_files_that_are_no_classifier_or_not_whole_are_refused_in_a_line(tmp_path, pixels):
    path = of_one_operator(tmp_path / "map.onnx", [1, 3, 32, 32], "Relu")
    (tmp_path / "cut.onnx").write_bytes(path.read_bytes()[:40])
    (tmp_path / "m.xml").write_text("<net/>")

    for name, says in (
        ("map.onnx", "answers with 1×3×32×32 and not with one number for each class"),
        ("cut.onnx", "is damaged or not for onnxruntime"),
        ("m.xml", r"m\.xml lacks its weights, .*m\.bin: copy both files"),
    ):
        with pytest.raises(UserError, match=says) as refused:
            tflite.evaluate(tmp_path / name, pixels.astype(np.float32) / 255, pixels="0..1")
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("format, name", [("onnx", "m.onnx"), ("openvino", "m.xml"), ("openvino", "m.bin")])
def test_a_folder_in_the_place_of_a_file_is_left_with_nothing_beside_it(format, name, files, tmp_path):
    pytest.importorskip(format.replace("onnx", "onnxruntime"), reason=f"needs the extra {format}")
    (tmp_path / name).mkdir()

    with pytest.raises(UserError, match=rf"cannot write .*{name}: it is a folder"):
        tflite.export(files["nnapi", "none"], tmp_path / name.replace(".bin", ".xml"), format=format)

    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("quantize", "kind", "says"), [("none", 1, r"0\.\d+, where 0\.000"), ("int8", 3, r"\d+, where \d+")]
)
def test_nothing_is_kept_that_answers_differently(files, tmp_path, monkeypatch, quantize, kind, says):
    """Two weights of the last layer in a hundred are others."""

    def damaged(*args, **kwargs):
        model = read_graph(*args, **kwargs)
        kernel = next(t for t in model.graph.initializer if t.data_type == kind and np.prod(t.dims) == 7 * 24)
        values = onnx.numpy_helper.to_array(kernel).copy()
        values.flat[::50] = -values.flat[::50]
        kernel.CopyFrom(onnx.numpy_helper.from_array(values, kernel.name))
        return model

    read_graph = onnx_graph.read_graph
    monkeypatch.setattr(onnx_graph, "read_graph", damaged)

    with pytest.raises(UserError, match=f"differently: by {says}"):
        tflite.export(files["nnapi", quantize], tmp_path / "m.onnx")

    assert not list(tmp_path.iterdir())


def test_what_cannot_be_exported_is_refused_in_a_line(files, tflite_files, tmp_path, monkeypatch):
    def changed(change):
        model = flatbuffer.read(files["nnapi", "none"].read_bytes())
        change(model, model.subgraphs[0])
        return flatbuffer.write(model)

    def two_inputs(_, graph):
        graph.inputs = [*graph.inputs, graph.operators[0].outputs[0]]
        graph.operators = graph.operators[1:]

    def open_sizes(_, graph):
        graph.tensors[graph.inputs[0]].shapeSignature = [1, -1, -1, 3]

    def sparse(_, graph):
        graph.tensors[-1].sparsity = flatbuffer.schema.SparsityParametersT()

    def stateful(model, graph):
        model.subgraphs.append(graph)

    path = tmp_path / "changed.tflite"
    for change, says in (
        (two_inputs, "has 2 inputs: what has one is exported"),
        (open_sizes, "leaves sizes of its input open"),
    ):
        path.write_bytes(changed(change))
        with pytest.raises(UserError, match=says):
            tflite.export(path)
    path.unlink()
    for change, says in ((sparse, "has sparse tensors; export the dense file"), (stateful, "has several graphs")):
        with pytest.raises(UserError, match=says):
            onnx_graph.read_graph(changed(change), path)
    with pytest.raises(UserError, match="quantized as dynamic: export the float32 or the int8 file"):
        tflite.export(tflite_files["dynamic"], tmp_path / "m.onnx")
    with pytest.raises(UserError, match=r"a file of onnx ends with \.onnx"):
        tflite.export(files["nnapi", "none"], tmp_path / "m.bin")
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "tf2onnx":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"pip install keras_mobilenets\[onnx\]"):
        tflite.export(files["nnapi", "none"], tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())
