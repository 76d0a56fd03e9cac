"""Every form in which people pass images to TensorFlow Lite's converter gives the same images."""

import itertools
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_mobilenets import UserError, tflite, training
from keras_mobilenets.cli import main
from keras_mobilenets.pixels.batches import batches, first_labelled, to_input
from keras_mobilenets.pixels.scaling import MINUS_ONE_TO_ONE
from keras_mobilenets.tflite.runtime.interpreter import open_model

SHAPE = (1, 32, 32, 3)
IMAGES = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), np.uint8)
FLOATS = (IMAGES / 127.5 - 1).astype(np.float32)
LABELS = np.arange(12) % 3


class Sequence(keras.utils.PyDataset):
    """Three batches of four, by their number."""

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return IMAGES[4 * index : 4 * index + 4], LABELS[4 * index : 4 * index + 4]


def representative_data():
    for image in FLOATS:
        yield [image[None]]


def named_data():
    for image in FLOATS:
        yield {"input_1": image[None]}


def pipeline(*parts):
    return tf.data.Dataset.from_tensor_slices(parts if len(parts) > 1 else parts[0])


ALONE = {
    "array": lambda: IMAGES,
    "floats": lambda: FLOATS,
    "float64": lambda: FLOATS.astype(np.float64),
    "tensor": lambda: tf.constant(FLOATS),
    "generator of lists": representative_data,
    "function that gives a generator of lists": lambda: representative_data,
    "generator of dictionaries": named_data,
    "generator without a batch axis": lambda: ([image] for image in FLOATS),
    "generator of tensors": lambda: (tf.constant(image[None]) for image in FLOATS),
    "endless generator": lambda: ([image[None]] for image in itertools.cycle(FLOATS)),
    "list of images": lambda: list(IMAGES),
    "list of lists": lambda: [[image[None]] for image in FLOATS],
    "list of unequal batches": lambda: [IMAGES[:5], IMAGES[5:]],
    "list of PIL images": lambda: [Image.fromarray(image) for image in IMAGES],
    "dictionary": lambda: {"pixel_values": IMAGES},
    "tf.data": lambda: pipeline(IMAGES),
    "tf.data of batches": lambda: pipeline(FLOATS).batch(5),
    "tf.data of lists": lambda: pipeline(FLOATS).batch(1).map(lambda image: (image,)),
    "tf.data that repeats": lambda: pipeline(IMAGES).batch(5).repeat(),
    "bfloat16": lambda: tf.cast(FLOATS, tf.bfloat16),
}
LABELLED = {
    "pair": lambda: (IMAGES, LABELS),
    "pair in a list": lambda: [IMAGES, LABELS],
    "one-hot": lambda: (IMAGES, np.eye(3)[LABELS]),
    "dictionary with labels": lambda: {"image": IMAGES, "label": LABELS},
    "with weights": lambda: pipeline(IMAGES, LABELS, np.ones(12)).batch(5),
    "tf.data of pairs": lambda: pipeline(IMAGES, LABELS),
    "tf.data of batches of pairs": lambda: pipeline(FLOATS, LABELS).batch(5),
    "tf.data of dictionaries": lambda: pipeline({"image": IMAGES, "label": LABELS, "id": LABELS}).batch(5),
    "tf.data of dictionaries and labels": lambda: pipeline({"input_1": IMAGES}, np.eye(3)[LABELS]).batch(5),
    "keras.utils.PyDataset": Sequence,
    "list of pairs": lambda: list(zip(IMAGES, LABELS, strict=True)),
    "loader of lists": lambda: ([IMAGES[i : i + 4], LABELS[i : i + 4]] for i in range(0, 12, 4)),
}


@pytest.mark.parametrize("form", [*ALONE, *LABELLED])
def test_a_form_gives_its_images_and_labels(form):
    images, labels = first_labelled((ALONE | LABELLED)[form](), 12, SHAPE)
    assert images.shape == (12, 32, 32, 3)
    np.testing.assert_allclose(to_input(images, MINUS_ONE_TO_ONE), FLOATS, atol=0.01 if form == "bfloat16" else 1e-6)
    if form in LABELLED:
        np.testing.assert_array_equal(labels, LABELS)
    else:
        assert labels is None


def test_a_generator_is_read_no_further_than_asked():
    rest = representative_data()
    first_labelled(rest, 5, SHAPE)
    assert len(list(rest)) == 7


def test_keras_own_data_set_of_a_folder(photos):
    data = keras.utils.image_dataset_from_directory(photos, image_size=(32, 32), batch_size=16, shuffle=False)
    found = [(images, labels) for images, labels in batches(data.map(lambda x, y: (tf.cast(x, tf.uint8), y)))]
    assert sum(map(len, (images for images, _ in found))) == 80
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in found]), [0] * 40 + [1] * 40)


def test_a_folder_gives_a_sample_of_its_images_whether_in_classes_or_not(photos, tmp_path):
    for number, path in enumerate(sorted(photos.glob("red/*.png"))):
        (tmp_path / f"{number}.png").write_bytes(path.read_bytes())
    (tmp_path / "torn.png").write_bytes(b"no image")
    with pytest.warns(UserWarning, match=r"skipped .*torn.png"):
        flat, labels = first_labelled(str(tmp_path), 100, SHAPE)
    assert flat.shape == (40, 32, 32, 3) and labels is None and (flat[..., 0] > flat[..., 2]).mean() > 0.9
    sample, _ = first_labelled(photos, 30, SHAPE)
    red = (sample.mean(axis=(1, 2))[:, 0] > sample.mean(axis=(1, 2))[:, 2]).sum()
    assert len(sample) == 30 and 5 < red < 25
    files = sorted(photos.glob("*/1.png"))
    for form in (files, [str(file) for file in files]):
        assert len(first_labelled(form, 10, SHAPE)[0]) == 2
    assert first_labelled(files[0], 10, (1, 32, 32, 1))[0].shape == (1, 32, 32, 1)


def test_a_data_set_calibrates_on_training_images_and_is_evaluated_on_test_images(photos, tflite_files):
    data = training.load_data(photos, image_size=32)
    train = {image.tobytes() for image in data.images("train")[0]}
    calibration, _ = first_labelled(data, 10, SHAPE)
    assert all(image.tobytes() in train for image in calibration)
    images, labels = data.images("test")
    ours, theirs = (tflite.evaluate(tflite_files["float32"], form) for form in (data, (images, labels)))
    np.testing.assert_array_equal(ours.predictions, theirs.predictions)
    np.testing.assert_array_equal(ours.labels, theirs.labels)


@pytest.mark.parametrize("grey", [IMAGES[..., 0], IMAGES[..., :1], pytest.param([IMAGES[0, ..., 0]], id="one")])
def test_grey_images_need_no_channel_axis(grey):
    images, _ = first_labelled(grey, 12, (1, 32, 32, 1))
    assert images.shape == (len(grey), 32, 32, 1)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (IMAGES.transpose(0, 3, 1, 2), "channels first, 3×32×32; give 32×32×3 by transpose"),
        (IMAGES[0].transpose(2, 0, 1), "channels first"),
        ([(IMAGES[:1], IMAGES[:1])], "holds two images, but the model has one input"),
        ([{"left": IMAGES[:1], "right": IMAGES[:1]}], "left, right, of which 2 hold images"),
        ([{"path": "a.png"}], "path, of which 0 hold images"),
        (IMAGES[:, 0, 0, 0], r"images have shape \(12,\)"),
        (pipeline(["a", "b"]), "no images; give images"),
        (lambda: iter([]), "there are no images in the data"),
        (3, "data is a int; give images"),
        ("nowhere", "nowhere does not exist; give a folder of images"),
        ((IMAGES, LABELS[:5]), "12 images come with 5 labels"),
        ((IMAGES, [str(label) + "x" for label in LABELS]), "labels are no class numbers"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_is_no_image_of_the_model_is_one_line(data, says):
    with pytest.raises(UserError, match=says) as caught:
        first_labelled(data, 12, SHAPE)
    assert "\n" not in str(caught.value)


def test_the_stock_converter_s_function_makes_the_same_int8_file(keras_model, tmp_path):
    files = {}
    for form in ("floats", "function that gives a generator of lists", "generator of dictionaries"):
        with warnings.catch_warnings(action="ignore"):
            path = tflite.convert(
                keras_model, tmp_path / "x.tflite", quantize="int8", effort="low", calibration=ALONE[form]()
            )
        files[form] = path.read_bytes()
    assert len(set(files.values())) == 1 and open_model(path, 1).input["dtype"] == np.int8


def test_the_command_line_calibrates_on_a_folder_without_classes(keras_model, photos, tmp_path, capsys):
    keras_model.save(tmp_path / "m.keras")
    command = ["convert", str(tmp_path / "m.keras"), "--quantize", "int8", "--data", str(photos / "red")]
    assert main([*command, "--calibration", "20"]) == 0
    assert open_model(tmp_path / "m_int8.tflite", 1).input["dtype"] == np.int8
    assert main(["evaluate", str(tmp_path / "m_int8.tflite"), "--data", str(photos / "red")]) == 2
    assert "holds 40 image(s) without classes" in capsys.readouterr().err
