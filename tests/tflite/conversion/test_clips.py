"""Networks of clips as .tflite: float equal to Keras, int8 in operators of images, and what their pixels mean."""

import warnings

import keras
import numpy as np
import pytest

import keras_mobilenets as km
from keras_mobilenets import UserError, tflite, training
from keras_mobilenets.graphs.normalization_fold import folded_normalizations
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.training.datasets.video import motion_renderer
from keras_mobilenets.training.engine.batch_normalization import estimate_statistics

FLOAT = 1e-3  # untrained and deep, the network makes more of a rounding than a trained one would
CLASSES = list(motion_renderer.LABELS)


@pytest.fixture(scope="module")
def clips():
    return np.stack([motion_renderer.clip(n % 8, np.random.default_rng(n)) for n in range(40)])


@pytest.fixture(scope="module", params=["depthwise", "factorized"])
def network(request, clips):
    """Untrained, with the statistics of the clips in its normalizations, so that activations have usual ranges."""
    keras.utils.set_random_seed(0)
    model = km.MobileNetV2Video((8, 32, 32, 3), 0.2, classes=8, convolution=request.param)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.gamma.assign(np.ones(layer.gamma.shape))  # some begin at 0
    return estimate_statistics(model, clips / np.float32(127.5) - 1)


@pytest.fixture(scope="module")
def files(network, clips, tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    with warnings.catch_warnings():
        warnings.simplefilter("error", km.pixels.scaling.PixelWarning)
        return (
            tflite.convert(network, folder / "float32.tflite", labels=CLASSES),
            tflite.convert(
                network, folder / "int8.tflite", quantize="int8", effort="low", calibration=clips, target="litert"
            ),
        )


def test_float_answers_are_those_of_keras(files, network, clips):
    wanted = network(clips / np.float32(127.5) - 1, training=False).numpy()
    labels = np.arange(len(clips)) % 8
    found = tflite.evaluate(files[0], (clips, labels))
    np.testing.assert_allclose(found.predictions, wanted, atol=FLOAT)
    np.testing.assert_array_equal(found.labels, labels)
    one = tflite.evaluate(files[0], [clips[0], clips[1]])  # clips one by one
    np.testing.assert_allclose(one.predictions, wanted[:2], atol=FLOAT)
    metadata = tflite.inspect(files[0]).metadata
    assert metadata.labels == tuple(CLASSES) and "-1..1" in str(metadata)


def test_int8_takes_pixels_and_has_operators_of_images_alone(files, network, clips):
    graph = flatbuffer.Graph(flatbuffer.read(files[1].read_bytes()))
    names = {graph.name(operator) for operator in graph.operators}
    assert not {name for name in names if "3D" in name or "FLEX" in name.upper() or name in ("MUL", "TRANSPOSE")}
    source = graph.tensors[graph.inputs[0]]
    assert flatbuffer.shape_of(source) == (1, 8, 32, 32, 3) and flatbuffer.text(source.name) == "clip"
    assert tflite.evaluate(files[1], clips[:2]).predictions.shape == (2, 8)


def test_the_sum_of_shifted_clips_keeps_its_precision_in_int8(clips, tmp_path):
    """Of a shallow network, since noise of rounding grows with depth where nothing has been trained."""
    keras.utils.set_random_seed(1)
    x = keras.Input((8, 32, 32, 3), name="clip")
    y = keras.layers.Reshape((8 * 32, 32, 3), name="strip")(x)
    y = km.blocks.conv3d_bn(y, 16, frames=8, strides=(1, 2, 2), name="stem")
    y = km.blocks.separable_conv3d(y, 24, frames=8, name="block_0")
    y = km.blocks.separable_conv3d(y, 32, frames=8, strides=2, name="block_1")
    y = km.blocks.separable_conv3d(y, 32, frames=4, strides=2, factorized=True, name="block_2")
    y = keras.layers.Dense(8, name="predictions")(keras.layers.GlobalAveragePooling2D(name="pool")(y))
    values = clips / np.float32(127.5) - 1
    model = estimate_statistics(keras.Model(x, y), values)
    path = tflite.convert(
        model, tmp_path / "m.tflite", quantize="int8", effort="low", calibration=clips, target="litert"
    )
    wanted, found = model(values, training=False).numpy(), tflite.evaluate(path, clips).predictions
    noise = ((wanted - found) ** 2).mean() / ((wanted - wanted.mean(axis=0)) ** 2).mean()
    assert -10 * np.log10(noise) > 15


def test_normalizations_go_into_the_convolutions_of_strips(network, clips):
    folded = folded_normalizations(network)
    kinds = [type(layer).__name__ for layer in folded.layers]
    strips = sum(kind.startswith("Strip") for kind in kinds)
    assert strips > 17 and kinds.count("BatchNormalization") == 18 + 17 - 1
    values = clips[:4] / np.float32(127.5) - 1
    np.testing.assert_allclose(folded(values), network(values, training=False), atol=FLOAT)


def test_what_is_not_for_clips_is_one_line(network, files, clips, tmp_path):
    with pytest.raises(UserError, match="takes clips: quantization-aware training has no form"):
        training.quantize_aware(network)
    with pytest.raises(UserError, match="takes no image: Grad-CAM"):
        training.grad_cam(network, clips)
    with pytest.raises(UserError, match="takes no image, and the app shows images"):
        tflite.bundle(files[0], tmp_path / "bundle")
    with pytest.raises(UserError, match=r"images are 4×32×32×3 but .* takes 8×32×32×3"):
        tflite.evaluate(files[0], clips[:, :4])
    with pytest.raises(UserError, match=r"clips have shape \(32, 32, 3\)"):
        tflite.evaluate(files[0], [clips[0, 0]])
