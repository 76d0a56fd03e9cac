"""Zero-shot classifiers: what the formula says; the names of their classes in int8 files, run folders and bundles."""

import keras
import numpy as np
import pytest
from networks import answers, coloured_noise, randomize

import keras_mobilenets as km
from keras_mobilenets import pipeline, tflite, training
from keras_mobilenets.graphs.class_names import class_names
from keras_mobilenets.tflite.graph.metadata import metadata_of
from keras_mobilenets.training.engine.batch_normalization import estimate_statistics

LABELS = ["red panda", "cat", "dog", "tree"]
CHANNELS = 64


@pytest.fixture(scope="module")
def tower():
    """A small image tower of random weights, which tells tones apart."""
    image = keras.Input((32, 32, 3))
    x = km.blocks.conv_bn(image, 16, strides=2, name="stem")
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return randomize(keras.Model(image, keras.layers.Dense(CHANNELS, name="vector")(x)), kernels=True)


@pytest.fixture(scope="module")
def texts(tower):
    """Vectors near to those of four images, of various lengths: the images of each tone belong to one label."""
    vectors = training.embeddings(tower, coloured_noise(4))
    return vectors * np.array([[0.5], [1], [2], [3]])


@pytest.fixture(scope="module")
def classifier(tower, texts):
    return km.zero_shot(tower, texts, LABELS, scale=20)


def test_scores_are_the_softmax_of_scaled_cosines(tower, texts, classifier):
    images = coloured_noise(8, seed=1)
    vectors = answers(tower, km.preprocess_input(images)).astype(np.float64)
    cosines = (vectors @ texts.T) / np.outer(np.linalg.norm(vectors, axis=1), np.linalg.norm(texts, axis=1))
    powers = np.exp(20 * cosines)
    found = answers(classifier, km.preprocess_input(images))
    np.testing.assert_allclose(found, powers / powers.sum(1, keepdims=True), atol=1e-4)
    assert found.std() > 0.01
    unit = training.embeddings(tower, images)
    np.testing.assert_allclose(unit, vectors / np.linalg.norm(vectors, axis=1, keepdims=True), atol=1e-5)
    chosen = km.zero_shot(tower, dict(zip(LABELS, texts, strict=True)), ["dog", "cat"], scale=20)
    np.testing.assert_allclose(
        answers(chosen, km.preprocess_input(images))[:, 0], powers[:, 2] / powers[:, 1:3].sum(1), atol=1e-4
    )


def test_the_labels_go_through_a_run_an_int8_file_and_a_bundle(classifier, texts, tmp_path):
    classifier.save(tmp_path / "animals.keras")
    loaded = keras.models.load_model(tmp_path / "animals.keras")
    assert class_names(loaded) == class_names(km.reparameterized(loaded)) == LABELS
    assert class_names(km.MobileNetV1((32, 32, 3), 0.25, classes=4)) is None
    images = coloured_noise(4)
    (best,) = km.decode_predictions(answers(loaded, km.preprocess_input(images[1:2])), 1, labels=loaded)
    assert best[0][:2] == ("", "cat")
    folder = tmp_path / "photos"
    for label, image in zip(LABELS, coloured_noise(4, seed=0), strict=True):
        (folder / label).mkdir(parents=True)
        for number in range(16):
            keras.utils.save_img(folder / label / f"{number}.png", image, scale=False)
    own = tflite.convert(loaded, tmp_path / "own.tflite")
    assert metadata_of(own.read_bytes()).labels == tuple(LABELS)
    paths = pipeline.convert_file(tmp_path / "animals.keras", ["float32", "int8"], 32, data=folder)
    for path in paths:
        assert metadata_of(path.read_bytes()).labels == tuple(LABELS)
        result = tflite.evaluate(path, (images, np.arange(4)))
        assert result.top1 == 1
        np.testing.assert_allclose(result.predictions, answers(loaded, km.preprocess_input(images)), atol=0.1)
    made = tflite.read_bundle(tflite.bundle(paths, tmp_path / "bundle", images=images, labels=np.arange(4)))
    assert [made.class_names(model) for model in made.models] == [LABELS, LABELS]
    assert [model.host_top1 for model in made.models] == [1, 1]
    with pytest.raises(km.UserError, match="in another order: make it with labels cat, dog, red panda, tree"):
        pipeline.Run(tmp_path / "run").adopt(tmp_path / "animals.keras", data=folder)


VECTORS = np.eye(4, CHANNELS)


@pytest.mark.parametrize(
    ("embeddings", "labels", "says"),
    [
        (dict(zip(LABELS, VECTORS, strict=True)), ["dog", "horse"], "unknown label 'horse'"),
        (VECTORS, LABELS[:3], "3 labels come with text embeddings of shape"),
        (VECTORS, None, "give a list of names"),
        (VECTORS, ["a", "b", "a", "c"], "label 'a' is given twice"),
        (np.eye(4, 32), LABELS, "32 channels but .* gives 64: take image and text tower of one checkpoint"),
        (0 * VECTORS, LABELS, "a vector of zeros"),
        ([["a"]] * 4, LABELS, "no array of numbers"),
    ],
)
def test_what_cannot_be_is_one_line(embeddings, labels, says, tower):
    with pytest.raises(km.UserError, match=says) as caught:
        km.zero_shot(tower, embeddings, labels)
    assert "\n" not in str(caught.value)


def test_an_image_model_must_give_vectors(tower):
    with pytest.raises(km.UserError, match="ends in a softmax: build it with classifier_activation=None"):
        km.zero_shot(km.MobileNetV1((32, 32, 3), 0.25, classes=CHANNELS), VECTORS, LABELS)
    with pytest.raises(km.UserError, match="no vector of an image"):
        km.zero_shot(km.MobileNetV1((32, 32, 3), 0.25, include_top=False), VECTORS, LABELS)


@pytest.mark.slow  # a deep network is built, converted and run twice
def test_mobileclips_image_tower_tells_images_apart_in_int8(tmp_path):
    """Random weights whose batch normalizations have the statistics of images, so that vectors differ by the image."""
    keras.utils.set_random_seed(0)
    tower = km.FastViTMCI0((64, 64, 3), 0.25, classes=CHANNELS, classifier_activation=None, layer_scale=0.1)
    seen, images = coloured_noise(64, 64), coloured_noise(32, 64, seed=1)
    tower = km.reparameterized(estimate_statistics(tower, km.preprocess_input(seen)))
    vectors = training.embeddings(tower, images)
    between = vectors @ vectors.T - 2 * np.eye(len(images))
    path = tflite.convert(
        tower, tmp_path / "m.tflite", quantize="int8", effort="low", calibration=seen, target="litert"
    )
    found = tflite.inspect(path)
    assert (found.partitions, found.nodes) == (1, found.nodes_delegated)
    result = tflite.evaluate(path, images).predictions
    cosines = result @ vectors.T / np.linalg.norm(result, axis=1, keepdims=True)
    assert between.max() < 0.8 < 0.9 < np.diag(cosines).min()
    assert np.array_equal(cosines.argmax(axis=1), np.arange(len(images)))
