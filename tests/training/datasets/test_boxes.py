"""Images with boxes: folders in COCO's form and YOLO's and what goes wrong in them, TFDS records, the drawn set."""

import json
import warnings

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from keras_mobilenets import UserError, training
from keras_mobilenets.training.datasets.boxes.record_boxes import boxes_of
from keras_mobilenets.training.datasets.boxes.scene_renderer import scene
from keras_mobilenets.training.recipe import AUGMENTATIONS
from keras_mobilenets.training.tasks.detection import augmentation
from keras_mobilenets.training.tasks.detection.boxes import is_box

COUNT = 40
BOX = (8.0, 4.0, 16.0, 10.0)  # x, y, width, height in an image of 40 × 20


def images(folder):
    """Forty images, the first of which cannot be read."""
    folder.mkdir(parents=True)
    for number in range(COUNT):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 40, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    (folder / "00.png").write_bytes(b"no image")


def coco(folder):
    images(folder / "images")
    numbers = range(COUNT)
    boxes = [{"image_id": n, "category_id": 7 if n % 2 else 3, "bbox": list(BOX)} for n in numbers if n != 1]
    wrong = [[100.0, 4.0, 5.0, 5.0], [8.0, 4.0, 0.0, 5.0], [30.0, 4.0, 20.0, 10.0]]
    boxes += [{"image_id": n, "category_id": 3, "bbox": box} for n, box in zip((2, 4, 6), wrong, strict=True)]
    boxes.append({"image_id": 8, "category_id": 7, "bbox": [0.0, 0.0, 40.0, 20.0], "iscrowd": 1})
    content = {
        "images": [{"id": n, "file_name": f"{n:02}.png", "width": 40, "height": 20} for n in numbers],
        "categories": [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}],
        "annotations": [{"id": i, **box} for i, box in enumerate(boxes)],
    }
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


def yolo(folder):
    images(folder / "images")
    (folder / "labels").mkdir()
    x, y, width, height = BOX
    line = f"{(x + width / 2) / 40} {(y + height / 2) / 20} {width / 40} {height / 20}"
    for number in range(COUNT):
        if number != 1:
            (folder / "labels" / f"{number:02}.txt").write_text(f"{number % 2} {line}\n")
    for number, wrong in ((2, "0 2.5 0.3 0.1 0.2"), (4, "0 0.2 0.3 0 0.2"), (6, "0 1.0 0.45 0.5 0.5")):
        with open(folder / "labels" / f"{number:02}.txt", "a") as file:
            file.write(f"{wrong}\n")
    (folder / "data.yaml").write_text("names:\n  0: cat\n  1: dog\n")
    return folder


@pytest.mark.parametrize("made", [coco, yolo])
def test_what_is_wrong_in_a_folder_is_named_in_one_line_and_the_rest_is_trained_on(tmp_path, made):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        data = training.load_data(made(tmp_path / "d"), 32, 8)
        tables = np.concatenate([data.images(split)[1] for split in ("train", "validation", "test")])
    lines = [str(each.message) for each in said]
    for words in ("skipped", "02.png is outside", "04.png has no area", "06.png reaches outside"):
        assert sum(words in line and "\n" not in line for line in lines) == 1, (words, lines)
    assert data.class_names == ["cat", "dog"] and data.task.described == {"task": "detection"}
    assert len(tables) == COUNT - 1
    boxes = tables[tables[..., 4] >= 0]
    assert (tables[..., 4] < 0).all(axis=1).sum() == 1  # the image without a box
    assert len(boxes) == COUNT - 2 + 1 + (made is coco)  # the one that was cut, and COCO's crowd
    plain = boxes[(boxes[:, 5] == 0) & (boxes[:, 3] < 0.9)]
    np.testing.assert_allclose(plain[:, :4], np.tile((0.2, 0.2, 0.7, 0.6), (len(plain), 1)), atol=1e-6)
    assert boxes[:, 5].sum() == (made is coco)


def test_a_damaged_annotation_is_refused_with_its_place(tmp_path):
    folder = yolo(tmp_path / "yolo")
    (folder / "labels" / "03.txt").write_text("0 0.5 0.5\n")
    with pytest.raises(UserError, match=r"03\.txt, line 1: write class x y width height"):
        training.load_data(folder)
    (folder / "labels" / "03.txt").write_text("2 0.5 0.5 0.1 0.1\n")
    with pytest.raises(UserError, match=r"03\.txt, line 1: class 2 is none of the 2"):
        training.load_data(folder)
    folder = coco(tmp_path / "coco")
    (folder / "images" / "05.png").unlink()
    with pytest.raises(UserError, match=r"names the image 05\.png"):
        training.load_data(folder)
    (folder / "annotations.json").write_text('{"images": [{"file_name": "a.png"}]}')
    with pytest.raises(UserError, match="no annotation file of COCO"):
        training.load_data(folder)


@pytest.mark.parametrize("name", ["voc", "coco"])
def test_the_records_of_voc_and_coco_are_known_as_boxes(name, tmp_path):
    builder = tfds.builder(name, data_dir=tmp_path)  # its features alone, without a download
    found = boxes_of(builder)
    assert found is not None and len(found.task.class_names) == {"voc": 20, "coco": 80}[name]
    flag = {"voc": "is_difficult", "coco": "is_crowd"}[name]
    record = {"bbox": [[0.1, 0.2, 0.3, 0.4]], "label": [7], flag: [True]}
    table = found.table({key: tf.constant(value) for key, value in record.items()}).numpy()
    np.testing.assert_allclose(table[0], [0.1, 0.2, 0.3, 0.4, 7, 1], atol=1e-6)
    assert (table[1:, 4] == -1).all()


def test_scenes_are_a_function_of_their_number_and_boxes_hold_their_shapes():
    for index in range(6):
        pixels, boxes = scene(1, 0, index)
        again, same = scene(1, 0, index)
        assert (pixels == again).all() and boxes == same and boxes
        for y1, x1, y2, x2, label in boxes:
            assert 0 <= y1 < y2 <= 1 and 0 <= x1 < x2 <= 1 and 0 <= label < 10


@pytest.mark.parametrize("name", sorted(augmentation.PARTS))
def test_boxes_move_with_their_pixels(name):
    """A white rectangle on black stays inside its box, and fills it; so does one that came from a neighbour."""
    pixels, table = np.zeros((64, 64, 64, 3), np.float32), np.tile(np.float32((0, 0, 0, 0, -1, 0)), (64, 2, 1))
    pixels[::4, 16:40, 8:24] = 255
    table[::4, 0] = (0.25, 0.125, 0.625, 0.375, 3, 0)
    seed, strength = tf.constant([1, 2]), AUGMENTATIONS[name].strength
    changed, boxes = augmentation.PARTS[name](strength, tf.constant(pixels), tf.constant(table), seed)
    there = is_box(boxes).numpy()
    assert there.sum() > 10 and there.sum(axis=1).max() == 1
    assert there[1:4].any() == (name == "mosaic")
    for image, (box,) in zip(changed.numpy()[there.any(axis=1)], boxes.numpy()[there][:, None], strict=True):
        bright = np.argwhere(image[..., 0] > 0.6 * image.max())
        low, high = bright.min(axis=0) / 64, (bright.max(axis=0) + 1) / 64
        np.testing.assert_allclose((*low, *high), box[:4], atol=0.04)
