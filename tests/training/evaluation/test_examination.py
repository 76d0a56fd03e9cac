"""What a classifier gets wrong: counted by hand, kept in a run folder, told on the command line."""

import logging
import re

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from keras_mobilenets import UserError, training
from keras_mobilenets.cli import main
from keras_mobilenets.training.evaluation.examination import probabilities

RECIPE = training.Recipe(epochs=1, learning_rate=0.02, warmup_epochs=0.0, augmentation="none")


def network(activation="softmax"):
    keras.utils.set_random_seed(1)
    image = keras.Input((32, 32, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, strides=2, activation="relu")(image))
    return keras.Model(image, layers.Dense(3, activation=activation)(x), name="small")


@pytest.mark.parametrize("split", ["validation", "test"])
def test_examination_counts_what_predict_says(data, split):
    model = network()
    found = training.examine(model, data, split, mistakes=5)
    images, labels = data.images(split)
    shares = model.predict(getattr(data, split), verbose=0)
    said = shares.argmax(axis=1)
    expected = [[int(((labels == true) & (said == other)).sum()) for other in range(3)] for true in range(3)]
    np.testing.assert_array_equal(found.confusion, expected)
    assert found.count == len(labels) and found.top1 == pytest.approx((said == labels).mean())
    assert found.mistakes == (said != labels).sum()
    wrong = np.flatnonzero(said != labels)
    worst = wrong[np.argsort(-shares[wrong].max(axis=1), kind="stable")][:5]
    np.testing.assert_array_equal(found.images, images[worst])
    np.testing.assert_array_equal(found.labels, labels[worst])
    np.testing.assert_array_equal(found.predicted, said[worst])
    np.testing.assert_allclose(found.confidence, shares[worst].max(axis=1), rtol=1e-5)
    heat = training.grad_cam(model, found.images, found.predicted)
    np.testing.assert_array_equal(found.heat, np.rint(255 * heat))


def test_logits_become_probabilities(data):
    plain, logits = network(), network(None)
    logits.set_weights(plain.get_weights())
    images, _ = data.images("test", 8)
    np.testing.assert_allclose(probabilities(logits, images), probabilities(plain, images), atol=1e-6)
    found = training.examine(logits, data)
    np.testing.assert_array_equal(found.confusion, training.examine(plain, data).confusion)
    assert (found.confidence <= 1).all()


def test_recall_precision_and_pairs_are_those_of_the_counts():
    confusion = np.array([[8, 2, 0], [1, 9, 0], [5, 0, 0]])
    none = np.zeros((0, 4, 4, 3), np.uint8), *[np.zeros(0, np.int64)] * 2, np.zeros(0, np.float32)
    found = training.Examination(("a", "b", "c"), "test", confusion, *none)
    np.testing.assert_allclose(found.recall, [0.8, 0.9, 0.0])
    np.testing.assert_allclose(found.precision, [8 / 14, 9 / 11, np.nan])
    assert found.most_confused(2) == [(2, 0, 5), (0, 1, 2)]
    assert len(found.most_confused(9)) == 3  # pairs that were never confused are none


def test_a_model_that_is_always_right_has_no_mistakes(data):
    model, found = network(), training.examine(network(), data)
    right = np.flatnonzero(found.confusion.diagonal())[0]  # only images of one class, and all of them said to be of it
    model.layers[-1].kernel.assign(np.zeros((4, 3)))
    model.layers[-1].bias.assign(100 * np.eye(3)[right])
    saved = training.examine(model, data, mistakes=0)
    assert saved.images.shape == (0, 32, 32, 3) and saved.heat is None
    assert saved.recall[right] == 1


def test_examination_is_read_as_it_was_saved(data, tmp_path):
    found = training.examine(network(), data, mistakes=3)
    read = training.read_examination(found.save(tmp_path / "examination.npz"))
    assert (read.class_names, read.split, read.model_sha256) == (found.class_names, "validation", "")
    for name in ("confusion", "images", "labels", "predicted", "confidence", "heat"):
        ours, theirs = getattr(read, name), getattr(found, name)
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype


def test_bad_arguments_are_answered_by_one_line(data, tmp_path):
    with pytest.raises(UserError, match="split='val': choose train, validation or test"):
        training.examine(network(), data, "val")
    with pytest.raises(UserError, match=r"does not exist"):
        training.read_examination(tmp_path / "examination.npz")
    small = keras.Sequential([keras.Input((32, 32, 3)), layers.Flatten(), layers.Dense(2)])
    with pytest.raises(UserError, match=r"output .* 3 classes"):
        training.examine(small, data)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    training.fit(network(), data, RECIPE, folder, verbose=0)
    return folder


def test_training_leaves_the_examination_of_its_best_model(run, data):
    found = training.read_examination(run / "examination.npz")
    model = training.load_model(run / "model.keras")
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    assert found.top1 == pytest.approx(model.evaluate(data.validation, verbose=0)[1], abs=1e-6)


def test_what_is_up_to_date_is_not_examined_again_and_a_damaged_one_is(run, data):
    path = run / "examination.npz"
    before, written = path.read_bytes(), path.stat().st_mtime_ns
    training.fit(network(), data, RECIPE, run, verbose=0)
    assert path.stat().st_mtime_ns == written
    path.write_bytes(before[: len(before) // 2])
    training.fit(network(), data, RECIPE, run, verbose=0)
    np.testing.assert_array_equal(training.read_examination(path).confusion, training.read_examination(path).confusion)
    assert training.read_examination(path).count == data.count("validation")


def test_explain_writes_a_picture_for_each_image_and_says_what_the_model_says(run, folder, tmp_path, capsys):
    """An image on its side, as its EXIF tag says, is the upright one."""
    pixels = np.asarray(Image.open(next((folder / "red").glob("*.png"))))
    (tmp_path / "other").mkdir()
    Image.fromarray(pixels).save(tmp_path / "a.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90° clockwise
    Image.fromarray(np.rot90(pixels)).save(tmp_path / "other" / "a.png", exif=exif)
    assert main(["explain", str(run), str(tmp_path / "a.png"), str(tmp_path / "other" / "a.png")]) == 0
    first, second = capsys.readouterr().out.splitlines()
    share = probabilities(training.load_model(run / "model.keras"), pixels[None])[0]
    names = sorted(path.name for path in folder.iterdir())
    best = names[share.argmax()]
    assert f": {best} {share.max():.1%}, " in first and first.endswith(f"a.png shows what speaks for {best}")
    pictures = [Image.open(run / "explained" / name) for name in ("a.png", "a_2.png")]
    assert [picture.size for picture in pictures] == [(768, 384)] * 2
    np.testing.assert_array_equal(*map(np.asarray, pictures))
    assert re.findall(r"\d+\.\d%", first) == re.findall(r"\d+\.\d%", second)
    assert (
        main(["explain", str(run), str(tmp_path / "a.png"), "--class", "green", "--out", str(tmp_path / "b.png")]) == 0
    )
    assert "b.png shows what speaks for green" in capsys.readouterr().out and (tmp_path / "b.png").exists()


def test_explain_without_images_says_what_the_model_gets_wrong(run, data, capsys):
    (run / "examination.npz").unlink()
    assert main(["explain", str(run)]) == 0
    found = training.read_examination(run / "examination.npz")
    printed = capsys.readouterr().out
    assert f"{found.top1:.1%} of {data.count('validation')} validation images are right" in printed
    assert "recall" in printed and "predicted as" in printed


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["{tmp}/none.jpg"], "none.jpg does not exist; give image files"),
        (["{tmp}"], "is a folder; give its files"),
        (["{tmp}/text.jpg"], "text.jpg cannot be read: it is damaged or no image; give a JPEG"),
        (["{tmp}/good.png", "--class", "gren"], "unknown class 'gren': did you mean green?"),
        (["{tmp}/good.png", "--layer", "block_1"], "unknown layer 'block_1'"),
        (["{tmp}/good.png", "--out", "{tmp}/a.jpg"], "pictures are written as .png"),
        (["{tmp}/good.png", "{tmp}/good.png", "--out", "{tmp}/a.png"], "is one file for 2 images; give a folder"),
        (["--out", "{tmp}/a.png"], "give images too"),
    ],
)
def test_bad_calls_of_explain_are_answered_by_one_line(run, tmp_path, capsys, arguments, says):
    (tmp_path / "text.jpg").write_text("no image")
    Image.new("RGB", (40, 30), "red").save(tmp_path / "good.png")
    assert main(["explain", str(run), *(argument.format(tmp=tmp_path) for argument in arguments)]) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"text.jpg", "good.png"}


def test_explain_needs_a_trained_run(tmp_path, capsys):
    assert main(["explain", str(tmp_path)]) == 2
    assert "holds no model.keras; run keras-mobilenets train" in capsys.readouterr().err


def test_examining_many_models_of_small_data_draws_no_word_from_tensorflow(data):
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logging.getLogger("tensorflow").addHandler(handler)
    try:
        for _ in range(6):
            image = keras.Input((data.image_size, data.image_size, 3))
            pooled = keras.layers.GlobalAveragePooling2D()(image)
            model = keras.Model(image, keras.layers.Dense(len(data.class_names), activation="softmax")(pooled))
            found = training.examine(model, data)
            theirs = np.concatenate([model(images).numpy().argmax(axis=1) for images, _ in data.validation])
            np.testing.assert_array_equal(found.confusion.sum(axis=0), np.bincount(theirs, minlength=3))
    finally:
        logging.getLogger("tensorflow").removeHandler(handler)
    assert not lines
