"""Models that were trained elsewhere: adopted into a run folder, from Python and by every verb."""

import json
import shutil

import keras
import numpy as np
import pytest
from command_line import one_line
from scipy.io import wavfile

import keras_mobilenets as km
from keras_mobilenets import UserError, pipeline
from keras_mobilenets.cli import main
from keras_mobilenets.training import load_model


def small(side=32, classes=2):
    """Rescaling inside, convolutions in a model of their own, as transfer learning makes it."""
    keras.utils.set_random_seed(0)
    backbone = keras.Sequential(
        [
            keras.Input((side, side, 3)),
            keras.layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
        ],
        name="backbone",
    )
    image = keras.Input((side, side, 3))
    x = keras.layers.Rescaling(1 / 127.5, -1)(image)
    x = keras.layers.GlobalAveragePooling2D()(backbone(x))
    return keras.Model(image, keras.layers.Dense(classes, activation="softmax")(x))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "mine.keras"
    small().save(path)
    return path


def test_a_run_of_a_foreign_file_converts_and_is_evaluated(file, photos, tmp_path):
    run = pipeline.Run(tmp_path / "run")
    made = run.adopt(file, data=photos)
    record = json.loads((run.folder / "run.json").read_text())
    assert record["model"]["pixels"] == "0..255" and record["data"]["class_names"] == ["blue", "red"]
    assert record["recipe"]["learning_rate"] == pytest.approx(3e-4) and record["data"]["image_size"] == 32
    before = {path: path.stat().st_mtime_ns for path in (made, run.folder / "run.json")}
    assert run.adopt(file, data=photos) == made == run.adopt(file)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert [path.name for path in run.convert(["float32"])] == ["mine_float32.tflite"]
    (row,) = run.evaluate()
    images, labels = run.data().images("test")
    own = keras.models.load_model(file).predict(images.astype("float32"), verbose=0)  # Keras's own, raw pixels
    assert row.top1 == pytest.approx((own.argmax(axis=1) == labels).mean()) and row.max_abs_err < 1e-5


def test_another_file_other_data_and_data_of_other_classes_are_refused(file, photos, tmp_path):
    run = pipeline.Run(tmp_path / "run")
    run.adopt(file)
    with pytest.raises(UserError, match=r"does not know its data: give .*mine.keras --data DATA"):
        run.data()
    run.adopt(file, data=photos)  # said later
    shutil.copytree(photos, tmp_path / "others")
    with pytest.raises(UserError, match="holds a model of data name"):
        run.adopt(file, data=tmp_path / "others")
    small(classes=3).save(tmp_path / "three.keras")
    with pytest.raises(UserError, match="holds another model than"):
        run.adopt(tmp_path / "three.keras")
    with pytest.raises(UserError, match=r"3 outputs but .* has 2 classes"):
        pipeline.Run(tmp_path / "new").adopt(tmp_path / "three.keras", data=photos)
    shutil.copy(file, tmp_path / "model.keras")
    with pytest.raises(UserError, match="holds another model"):  # the folder of the user's own model
        pipeline.Run(tmp_path).adopt(file)


def test_a_model_of_open_size_gets_the_size_that_is_said(tmp_path):
    model = small(side=None)
    model.save(tmp_path / "open.keras")
    run = pipeline.Run(tmp_path / "run")
    with pytest.raises(UserError, match="any size: give --size"):
        run.adopt(tmp_path / "open.keras")
    made = load_model(run.adopt(tmp_path / "open.keras", image_size=48))
    images = np.random.default_rng(0).uniform(0, 255, (2, 48, 48, 3)).astype("float32")
    assert made.input_shape == (None, 48, 48, 3)
    np.testing.assert_allclose(made.predict(images, verbose=0), model.predict(images, verbose=0), atol=1e-6)


def test_explain_takes_a_file_without_data(file, photos, tmp_path, capsys):
    assert main(["explain", str(file), str(photos / "red" / "0.png"), "--run", str(tmp_path / "run")]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"{photos / 'red' / '0.png'}: ") and (tmp_path / "run/explained/0.png").exists()
    assert said.err == f"{tmp_path / 'run'} is the run folder of {file}\n"


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["qat", "{run}", "--data", "shapes"], "--data goes with a model file"),
        (["benchmark", "{run}", "--pixels", "0..1"], "--pixels goes with a model file"),
        (["evaluate", "{run}", "--run", "x"], "--run goes with a model file"),
        (["report", "{file}", "{file}", "--run", "x"], "--run is the folder of one model file"),
        (["qat", "{run}/none.h5"], "none.h5"),
    ],
)
def test_what_is_said_of_no_model_file_is_refused(command, says, file, tmp_path, capsys):
    assert main([part.format(run=tmp_path, file=file) for part in command]) == 2
    assert says in one_line(capsys)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_fine_tuned_h5_of_keras_applications_goes_through_every_verb(photos, tmp_path, capsys):
    import tf_keras

    tf_keras.utils.set_random_seed(0)
    base = tf_keras.applications.MobileNetV2((64, 64, 3), alpha=0.35, include_top=False, weights=None)
    image = tf_keras.Input((64, 64, 3))
    x = tf_keras.layers.GlobalAveragePooling2D()(base(tf_keras.layers.Rescaling(1 / 127.5, -1)(image)))
    model = tf_keras.Model(image, tf_keras.layers.Dense(2, activation="softmax")(tf_keras.layers.Dropout(0.2)(x)))
    for layer in base.layers:
        if isinstance(layer, tf_keras.layers.BatchNormalization):
            layer.momentum = 0.5  # so that few steps are a training
    batches = tf_keras.utils.image_dataset_from_directory(photos, image_size=(64, 64), batch_size=8, seed=0)
    model.compile(tf_keras.optimizers.Adam(1e-4), "sparse_categorical_crossentropy")
    model.fit(batches, epochs=3, verbose=0)
    file, folder = tmp_path / "fine.h5", tmp_path / "run"
    model.save(file)
    short, run = ["--epochs", "1"], ["--run", str(folder)]
    for command in (
        ["convert", file, "--data", photos, "--out", tmp_path / "out"],
        ["evaluate", file, "--data", photos, *run],
        ["qat", file, *run, *short],
        ["prune", folder, *short],
        ["prune", file, "--macs", "0.5", *run, *short],
        ["explain", file, photos / "red" / "0.png", *run],
        ["convert", folder],
        ["report", file, *run],
        ["android", "bundle", file, "--out", tmp_path / "bundle", *run],
    ):
        assert main(list(map(str, command))) == 0, capsys.readouterr().err
    rows = {row["model"]: row for row in json.loads((folder / "results.json").read_text())["rows"]}
    assert list(rows) == [
        f"fine_{kind}" for kind in ("float32", "float16", "int8", "qat_int8", "prune_int8", "channels_int8")
    ]
    images, labels = pipeline.Run(folder).data().images("test")
    own = (model.predict(images.astype("float32"), verbose=0).argmax(axis=1) == labels).mean()  # Keras 2's, raw pixels
    assert rows["fine_float32"]["top1"] == pytest.approx(own) and own == 1.0
    assert rows["fine_int8"]["top1"] == 1.0
    assert rows["fine_channels_int8"]["macs"] == pytest.approx(0.5 * rows["fine_float32"]["macs"], rel=0.05)
    assert (tmp_path / "out" / "fine_int8.tflite").exists()
    bundled = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    assert [each["name"] for each in bundled["models"]] == list(rows)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """A folder of WAV files of two classes."""
    folder, rng = tmp_path_factory.mktemp("recordings"), np.random.default_rng(0)
    for name, frequency in (("high", 1_500), ("low", 400)):
        (folder / name).mkdir()
        for number in range(24):
            samples = np.sin(2 * np.pi * frequency * np.arange(16_000) / 16_000) + 0.1 * rng.standard_normal(16_000)
            wavfile.write(folder / name / f"{number}.wav", 16_000, (8_000 * samples).astype(np.int16))
    return folder


@pytest.mark.parametrize("front_end", [True, False])
def test_a_network_that_hears_goes_the_same_road(front_end, recordings, tmp_path):
    keras.utils.set_random_seed(0)
    model = km.DSCNNSmall(alpha=0.25, classes=2, front_end=front_end)
    model.save(tmp_path / "mine.keras")
    run = pipeline.Run(tmp_path / "run")
    run.adopt(tmp_path / "mine.keras", data=recordings)
    run.convert(["float32", "int8"], 16)
    floats, int8 = run.evaluate()
    data = run.data()
    answers = model.predict(data.test, verbose=0).argmax(axis=1)
    assert data.input_shape == model.input_shape[1:] and floats.max_abs_err < 1e-4
    assert floats.top1 == pytest.approx((answers == data.images("test")[1]).mean()) and int8.quantization == "int8"
    assert run.report().exists()
