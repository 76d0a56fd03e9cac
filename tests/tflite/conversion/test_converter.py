"""What `convert` writes, against Keras, the stock converter and the runtime's own operator list."""

import keras
import numpy as np
import pytest
from networks import answers, coloured_noise

import keras_mobilenets as km
from keras_mobilenets import tflite

SIZE = 64


@pytest.fixture(scope="module")
def model():
    """A small MobileNetV2 whose batch normalization is not the identity."""
    keras.utils.set_random_seed(0)
    model = km.MobileNetV2((SIZE, SIZE, 3), 0.35, classes=10)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.gamma.shape
            layer.gamma.assign(rng.uniform(0.8, 1.4, shape))
            layer.beta.assign(rng.normal(0, 0.2, shape))
            layer.moving_mean.assign(rng.normal(0, 0.1, shape))
            layer.moving_variance.assign(rng.uniform(0.2, 0.4, shape))
    return model


@pytest.fixture(scope="module")
def images():
    images = coloured_noise(40, SIZE)
    images[0, 0, 0], images[0, 0, 1] = 0, 255  # the stock converter learns the pixels' range from the images
    return images


@pytest.fixture(scope="module")
def converted(model, images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("converted")
    settings = {"calibration": images, "calibration_method": "minmax"}  # as the stock converter does
    return {
        quantize: tflite.convert(model, folder / f"{quantize}.tflite", quantize=quantize, **settings)
        for quantize in ("none", "float16", "dynamic", "int8")
    }


@pytest.fixture(scope="module")
def stock_int8(model, images, tmp_path_factory):
    """The same model through the stock converter."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([km.preprocess_input(image[None])] for image in images)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    path = tmp_path_factory.mktemp("stock") / "int8.tflite"
    path.write_bytes(converter.convert())
    return path


def test_float32_gives_the_outputs_of_keras(model, converted, images):
    expected = answers(model, km.preprocess_input(images))
    outputs = tflite.evaluate(converted["none"], images).predictions
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    assert expected.std() > 0.01


def test_smaller_formats_stay_close_to_keras(model, converted, images):
    expected = answers(model, km.preprocess_input(images))
    for quantize, tolerance in (("float16", 0.005), ("dynamic", 0.1), ("int8", 0.1)):
        outputs = tflite.evaluate(converted[quantize], images).predictions
        assert np.abs(outputs - expected).max() < tolerance, quantize


def test_sizes_shrink_as_the_weights_do(converted):
    size = {quantize: path.stat().st_size for quantize, path in converted.items()}
    assert size["float16"] < 0.55 * size["none"]
    assert size["int8"] < 0.4 * size["none"]
    assert size["dynamic"] < 0.4 * size["none"]


@pytest.mark.parametrize("quantize", ["none", "float16", "dynamic", "int8"])
def test_no_operator_computes_a_shape(converted, quantize):
    operators = tflite.inspect(converted[quantize]).operator_counts
    assert not {"SHAPE", "STRIDED_SLICE", "PACK", "RESHAPE"} & set(operators)
    assert operators["CONV_2D"] == 35
    assert operators["DEPTHWISE_CONV_2D"] == 17


def test_int8_is_int8_from_end_to_end(converted):
    found = tflite.inspect(converted["int8"])
    assert not {"QUANTIZE", "DEQUANTIZE"} & set(found.operator_counts)
    assert set(found.dtypes) == {"int8", "int32"}
    biases = {
        t.name for operator in found.operators for t in operator.inputs if t.dtype == "int32" and len(t.shape) == 1
    }
    wide = {t.name for operator in found.operators for t in operator.inputs if t.dtype == "int32"}
    assert wide == biases
    assert found.float_islands == ()
    assert found.partitions == 1


def test_int8_input_is_the_pixel_minus_128(converted, images):
    from keras_mobilenets.tflite.runtime.interpreter import open_model

    source = open_model(converted["int8"]).input
    assert source["dtype"] is np.int8
    assert source["quantization"][0] == pytest.approx(1 / 127.5)
    by_hand = open_model(converted["int8"])
    raw = by_hand.run((images[:1].astype(np.int16) - 128).astype(np.int8))
    np.testing.assert_array_equal(by_hand.dequantize(raw), tflite.evaluate(converted["int8"], images[:1]).predictions)


def test_int8_scales_cover_just_what_keras_computes(model, converted, images):
    names = ["stem_relu6", "block_0_project_bn", "block_2_project_bn", "block_2_add", "head_relu6"]
    layers = keras.Model(model.inputs, [model.get_layer(name).output for name in names])
    outputs = map(np.asarray, layers(km.preprocess_input(images)))
    scales = {operator.index: operator.outputs[0].scales[0] for operator in tflite.inspect(converted["int8"]).operators}
    for index, name, values in zip((0, 2, 8, 9, 61), names, outputs, strict=True):
        covered = max(values.max(), 0) - min(values.min(), 0)  # zero is always among the values
        assert scales[index] == pytest.approx(covered / 255, rel=1e-3), name


def test_int8_has_the_operators_and_scales_of_the_stock_converter(converted, stock_int8):
    """But for the branches of residual additions: the stock calibration sees their sum, written in their place."""
    ours, stock = tflite.inspect(converted["int8"]).operators, tflite.inspect(stock_int8).operators
    assert [operator.name for operator in ours] == [operator.name for operator in stock]
    for mine, theirs, behind in zip(ours, stock, [*ours[1:], ours[-1]], strict=True):
        if behind.name != "ADD":
            assert mine.outputs[0].scales == pytest.approx(theirs.outputs[0].scales, rel=0.02)


def test_dense_layers_are_per_tensor_for_nnapi_and_per_channel_for_xnnpack(model, images, converted, tmp_path):
    def dense_scales(path):
        return next(len(o.inputs[1].scales) for o in tflite.inspect(path).operators if o.name == "FULLY_CONNECTED")

    assert dense_scales(converted["int8"]) == 1
    per_channel = tflite.convert(
        model, tmp_path / "x.tflite", quantize="int8", effort="low", calibration=images, target="xnnpack"
    )
    assert dense_scales(per_channel) == 10


def test_calibration_takes_pixels_floats_and_pipelines_alike(model, images, converted, tmp_path):
    import tensorflow as tf

    scaled = km.preprocess_input(images)
    pipeline = tf.data.Dataset.from_tensor_slices((scaled, np.zeros(len(images)))).batch(16)
    for calibration in (scaled, pipeline):
        path = tflite.convert(
            model, tmp_path / "c.tflite", quantize="int8", calibration=calibration, calibration_method="minmax"
        )
        assert path.read_bytes() == converted["int8"].read_bytes()


def test_only_so_many_calibration_images_are_used(model, images, tmp_path):
    def scales(path):
        return [tensor.scales for operator in tflite.inspect(path).operators for tensor in operator.outputs]

    few = tflite.convert(
        model, tmp_path / "few.tflite", quantize="int8", effort="low", calibration=images, calibration_images=5
    )
    same = tflite.convert(model, tmp_path / "same.tflite", quantize="int8", effort="low", calibration=images[:5])
    assert scales(few) == scales(same)


def test_a_saved_model_converts_by_its_path(model, converted, tmp_path):
    model.save(tmp_path / "m.keras")
    path = tflite.convert(tmp_path / "m.keras", tmp_path / "m.tflite")
    assert path.stat().st_size == converted["none"].stat().st_size


def test_conversion_says_nothing(model, images, tmp_path, capfd):
    tflite.convert(model, tmp_path / "quiet.tflite", quantize="int8", calibration=images[:2])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"quantize": "int4"}, "none, float16, dynamic, int8"),
        ({"target": "tpu"}, "nnapi, litert"),
        ({"quantize": "int8"}, "calibration="),
        ({"quantize": "int8", "calibration": np.zeros((4, 32, 32, 3), np.uint8)}, "32×32×3"),
        ({"quantize": "int8", "calibration": np.zeros((0, SIZE, SIZE, 3), np.uint8)}, "no images"),
        ({"quantize": "int8", "calibration": np.full((2, SIZE, SIZE, 3), np.nan, np.float32)}, "NaN"),
    ],
)
def test_a_bad_request_is_refused_in_one_line_and_writes_nothing(model, tmp_path, arguments, says):
    with pytest.raises(km.UserError) as refused:
        tflite.convert(model, tmp_path / "bad.tflite", **arguments)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_an_open_input_size_is_refused(tmp_path):
    with pytest.raises(km.UserError, match="input_shape"):
        tflite.convert(km.MobileNetV2(alpha=0.35, include_top=False), tmp_path / "m.tflite")


def test_what_is_no_keras_file_is_refused(tmp_path):
    (tmp_path / "m.keras").write_bytes(b"PK no zip")
    for name, says in (("m.keras", "not a .keras file"), ("none.keras", "does not exist")):
        with pytest.raises(km.UserError, match=says):
            tflite.convert(tmp_path / name, tmp_path / "m.tflite")


def test_an_unwritable_folder_is_refused(model, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(km.UserError, match="cannot write"):
        tflite.convert(model, tmp_path / "file" / "m.tflite")


def test_inspection_names_operators_tensors_and_the_oldest_runtime(converted):
    found = tflite.inspect(converted["int8"])
    assert found.operators[0].name == "CONV_2D"
    assert found.inputs[0].shape == (1, SIZE, SIZE, 3)
    assert found.minimum_runtime
    assert "CONV_2D ×35" in str(found)
    dynamic = tflite.inspect(converted["dynamic"])
    assert dynamic.operators[0].outputs[0].dtype == "float32"


def test_inspection_sees_a_float_island(keras_model, pixels, tmp_path):
    """The stock converter's int8 with float ends dequantizes its output."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(keras_model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([km.preprocess_input(image[None])] for image in pixels[:5])
    path = tmp_path / "float_ends.tflite"
    path.write_bytes(converter.convert())
    (island,) = tflite.inspect(path).float_islands
    assert [operator.name for operator in island] == ["DEQUANTIZE"]
    assert "DEQUANTIZE" in str(tflite.inspect(path))


def test_inspection_refuses_what_is_no_model(tmp_path):
    for content in (b"", b"not a model at all", b"\x1c\0\0\0TFL3" + b"\xff" * 64):
        path = tmp_path / "bad.tflite"
        path.write_bytes(content)
        with pytest.raises(km.UserError) as refused:
            tflite.inspect(path)
        assert "\n" not in str(refused.value)
