"""Images with boxes: folders in COCO's form and YOLO's and what goes wrong in them, TFDS records, the drawn set."""

import json
import types
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
    wrong = (
        *("skipped", "left out 1 box outside of the image, such as in 02.png", "1 box of no area, such as in 04.png"),
        "cut 1 box reaching outside, such as in 06.png",
    )
    for words in wrong:
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
    for line, says in (
        ("0 0.5 0.5", "write class x y width height"),
        ("0,0.5,0.5,0.1,0.1", "write class x y width height"),
        ("2 0.5 0.5 0.1 0.1", "class 2 is none of the 2, 0 to 1"),
        ("nan 0.5 0.5 0.1 0.1", "class nan is none of the 2"),
    ):
        (folder / "labels" / "03.txt").write_text(line)
        with pytest.raises(UserError, match=rf"03\.txt, line 1: {says}"):
            training.load_data(folder)
    (folder / "labels" / "03.txt").write_bytes(b"\xff\xfe0")
    with pytest.raises(UserError, match=r"03\.txt cannot be read: .*; save it as text in UTF-8"):
        training.load_data(folder)
    folder = coco(tmp_path / "coco")
    file = folder / "annotations.json"
    content = json.loads(file.read_text())
    for change, says in (
        ({"bbox": [1, 2]}, r"annotation 9 of 10\.png has no box that can be read"),
        ({"category_id": 5}, "an annotation has the category 5, which is none of its categories"),
    ):
        content["annotations"][9] = {"id": 9, "image_id": 10, "category_id": 7, "bbox": list(BOX)} | change
        file.write_text(json.dumps(content))
        with pytest.raises(UserError, match=says):
            training.load_data(folder)
    file.write_text('{"images": [{"file_name": "a.png"}]}')
    with pytest.raises(UserError, match="no annotation file of COCO: it has no 'categories'"):
        training.load_data(folder)


def opened(folder, **options):
    """The data of a folder, what was said of it, and all its boxes."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        data = training.load_data(folder, 32, 8, **options)
        tables = np.concatenate([data.images(split)[1] for split in ("train", "validation", "test")])
    return data, "\n".join(str(each.message) for each in said), tables[tables[..., 4] >= 0]


def listed(numbers, name="{:02}.png"):
    """The content of a JSON file of these images, a box in each."""
    return {
        "images": [{"id": n, "file_name": name.format(n), "width": 40, "height": 20} for n in numbers],
        "categories": [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}],
        "annotations": [{"id": n, "image_id": n, "category_id": 7 if n % 2 else 3, "bbox": list(BOX)} for n in numbers],
    }


def write(file, content):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


def test_the_files_of_coco_2017_and_of_roboflow_are_read_as_they_lie(tmp_path):
    folder = tmp_path / "coco"
    for part, numbers in (("train2017", range(1, 30)), ("val2017", range(30, 40))):
        images(folder / part)
        write(folder / "annotations" / f"instances_{part}.json", listed(numbers))
        write(folder / "annotations" / f"captions_{part}.json", {"images": listed(numbers)["images"]})
        people = listed(numbers) | {"categories": [{"id": 3, "name": "person"}, {"id": 7, "name": "man"}]}
        write(folder / "annotations" / f"person_keypoints_{part}.json", people)
    data, said, boxes = opened(folder)
    assert [data.count(split) for split in ("train", "validation", "test")] == [29, 10, 10]
    assert data.class_names == ["cat", "dog"] and len(boxes) == 49
    assert said.endswith("there is no test split, so that test figures are those of the validation split")
    folder = tmp_path / "roboflow"
    for part, numbers in (("train", range(1, 30)), ("valid", range(30, 35)), ("test", range(35, 40))):
        images(folder / part)
        content = listed(numbers)
        content["categories"].insert(0, {"id": 0, "name": "pets", "supercategory": "none"})
        write(folder / part / "_annotations.coco.json", content)
    data, said, boxes = opened(folder)
    assert [data.count(split) for split in ("train", "validation", "test")] == [29, 5, 5]
    assert data.class_names == ["cat", "dog"] and set(boxes[:, 4]) == {0, 1}
    assert said.endswith("left out classes without a box in training images: pets")


def test_images_are_found_by_the_names_of_another_machine_and_boxes_by_their_outlines(tmp_path):
    images(tmp_path / "photos")
    content = listed(range(1, COUNT), "C:\\data\\pets\\{:02}.png")
    for number, each in enumerate(content["annotations"]):
        each |= {"bbox": [], "image_id": str(each["image_id"]), "iscrowd": 0}
        each["segmentation"] = [[8, 4, 24, 4, 24, 14, 8, 14]]
        if number % 2:  # run lengths, column by column
            each["segmentation"] = {"size": [20, 40], "counts": [8 * 20 + 4, *[10, 10] * 15, 10, 16 * 20 - 4 - 10]}
            each["segmentation"]["counts"][-1] = 800 - sum(each["segmentation"]["counts"][:-1])
    for image in content["images"]:
        del image["width"], image["height"]
    content["images"] += [{"id": 90, "file_name": "gone.png"}, {**content["images"][0], "id": 91}]  # lost, and twice
    content["annotations"] += [
        {"id": 90, "image_id": 90, "category_id": 3, "bbox": list(BOX)},
        {"id": 91, "image_id": 91, "category_id": 3, "bbox": [0, 0, 4, 4]},
        {"id": 92, "image_id": 92, "category_id": 3, "bbox": list(BOX)},
        {"id": 93, "image_id": 2, "category_id": 3, "segmentation": []},
    ]
    write(tmp_path / "result.json", content)
    data, said, boxes = opened(tmp_path)
    assert sum(data.count(split) for split in ("train", "validation", "test")) == COUNT - 1
    assert len(boxes) == COUNT
    large = boxes[boxes[:, 3] > 0.2]
    np.testing.assert_allclose(large[:, :4], np.tile((0.2, 0.2, 0.7, 0.6), (COUNT - 1, 1)), atol=1e-6)
    for words in (
        "left out 1 image of result.json without a file, such as gone.png",
        "left out 1 box of an image that is not listed",
        "left out 1 annotation without box and outline, such as in 02.png",
    ):
        assert words in said


def test_several_files_about_the_same_images_are_read_as_one(tmp_path):
    images(tmp_path / "photos")
    for place, name in enumerate(("cats", "dogs", "dogs_again")):
        content = listed(range(1, COUNT))
        content["annotations"] = [{**each, "bbox": [4 * min(place, 1), 4, 8, 8]} for each in content["annotations"]]
        write(tmp_path / f"{name}.json", content)
    data, said, boxes = opened(tmp_path)
    assert sum(data.count(split) for split in ("train", "validation", "test")) == COUNT - 1
    assert "left out 39 boxes written twice, such as in 01.png" in said
    assert len(boxes) == 2 * (COUNT - 1) and set(boxes[:, 1].round(3)) == {0, np.float32(0.1)}


@pytest.mark.parametrize("frame", ["stored", "shown", "other"])
def test_boxes_are_on_their_pixels_whichever_way_the_image_was_turned_when_they_were_drawn(tmp_path, frame):
    pixels, turned = np.zeros((20, 40, 3), np.uint8), Image.Exif()
    pixels[4:14, 8:24], turned[0x0112] = 255, 6  # shown turned to the right
    for number in range(COUNT):
        Image.fromarray(pixels).save(tmp_path / f"{number:02}.jpg", exif=turned, quality=95)
    content = listed(range(COUNT), "{:02}.jpg")
    for image, each in zip(content["images"], content["annotations"], strict=True):
        if frame != "stored":
            image["width"], image["height"], each["bbox"] = (20 if frame == "shown" else 30), 40, [6, 8, 10, 16]
    write(tmp_path / "boxes.json", content)
    if frame == "other":
        data, says = training.load_data(tmp_path, 32, 8), "it has 20×40 pixels and its annotation says 30×40"
        with pytest.warns(UserWarning, match=says), pytest.raises(UserError, match="no readable image"):
            data.images("train")
        return
    shown, tables = opened(tmp_path)[0].images("test")
    for image, (box,) in zip(shown, tables, strict=True):
        bright = np.argwhere(image[..., 0] > 128)
        np.testing.assert_allclose((*bright.min(axis=0), *(bright.max(axis=0) + 1)), 32 * box[:4], atol=1.1)


def test_the_lines_of_yolo_may_be_polygons_and_have_confidences(tmp_path):
    folder = yolo(tmp_path)
    lines = (
        "0 0.2 0.2 0.6 0.2 0.6 0.7 0.2 0.7",
        "0 0.4 0.45 0.4 0.5 0.93",
        "\ufeff0 0.4 0.45 0.4 0.5",
        "0.0 0.4 0.45 .4 .5",
    )
    for number in range(COUNT):
        (folder / "labels" / f"{number:02}.txt").write_text(f"{lines[number % 4]}\r\n1 .5 .5 1.002 1.002\r\n\r\n")
    _, said, boxes = opened(folder)
    assert len(boxes) == 2 * (COUNT - 1) and "outside" not in said
    np.testing.assert_allclose(boxes[boxes[:, 4] == 0][:, :4], np.tile((0.2, 0.2, 0.7, 0.6), (COUNT - 1, 1)), atol=1e-6)


@pytest.mark.parametrize(
    ("description", "counts", "says"),
    [
        ("names: {0: cat, 1: 'dog, big'}", [29, 5, 6], None),
        ("train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnames: [cat, dog]", [29, 5, 6], None),
        (
            "path: /home/x/pets\ntrain: C:\\pets\\train\\images\nval: [/home/x/pets/valid/images]\n"
            "test: ../other/images\nnames:\n- cat # a\n- dog\n- bird\n",
            [29, 5, 5],
            "passed over 1 path of data.yaml that is not there, such as test: ../other/images",
        ),
        ("train: train.txt\nval: valid/images\nnames: [cat, dog]", [3, 5, 5], "1 image of train.txt without a file"),
        (
            "train: train/images\nval: train/images\nnames: [cat, dog]",
            [29, 29, 29],
            "shares 29 images with the training",
        ),
    ],
)
def test_the_yaml_file_of_yolo_says_where_splits_and_what_classes_are(tmp_path, description, counts, says):
    for part, numbers in (("train", range(1, 30)), ("valid", range(30, 35)), ("test", range(34, 40))):
        (tmp_path / part / "images").mkdir(parents=True)
        (tmp_path / part / "labels").mkdir()
        for number in numbers:
            pixels = np.full((20, 40, 3), number, np.uint8)
            Image.fromarray(pixels).save(tmp_path / part / "images" / f"{number}.png")
            (tmp_path / part / "labels" / f"{number}.txt").write_text(f"{number % 2} 0.4 0.45 0.4 0.5")
    lines = ["./train/images/1.png", "/data/pets/train/images/2.png", "train\\images\\3.png", "./train/images/99.png"]
    (tmp_path / "train.txt").write_text("\r\n".join(lines))
    (tmp_path / "data.yaml").write_text(description)
    data, said, boxes = opened(tmp_path)
    assert [data.count(split) for split in ("train", "validation", "test")] == counts
    assert data.class_names[0] == "cat" and len(data.class_names) == 2 and len(boxes) == sum(counts)
    assert says is None or says in said
    same = training.load_data(tmp_path / "data.yaml", 32, 8)
    assert same.class_names == data.class_names and same.count("train") == counts[0]


@pytest.mark.parametrize(
    ("lacking", "says"),
    [
        ("boxes", "no training image of .* has a box"),
        ("names", r"has labels but no names of their classes; add data\.yaml"),
        ("images", r"names the image 01\.png, which is not in .*, nor any other image that is there"),
    ],
)
def test_a_folder_that_lacks_all_of_something_is_refused(tmp_path, lacking, says):
    if lacking == "images":
        write(tmp_path / "boxes.json", listed(range(1, 9)))
    else:
        yolo(tmp_path)
    if lacking == "boxes":
        (tmp_path / "labels").rename(tmp_path / "elsewhere")
    if lacking == "names":
        (tmp_path / "data.yaml").unlink()
    with pytest.raises(UserError, match=says):
        training.load_data(tmp_path, 32, 8)


def test_class_folders_with_a_list_of_their_classes_hold_no_boxes(tmp_path):
    for name in ("cat", "dog"):
        images(tmp_path / name)
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    assert training.load_data(tmp_path, 32, 8).task.name == "classification"


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


@pytest.mark.parametrize(
    ("name", "classes", "first"),
    [("kitti", 8, "Car"), ("lvis", 1203, None), ("bccd", 3, None), ("coco/2017", 80, None)],
)
def test_the_classes_of_other_builders_are_those_of_their_boxes(name, classes, first, tmp_path):
    found = boxes_of(tfds.builder(name, data_dir=tmp_path))
    assert found is not None and len(found.task.class_names) == classes
    assert first is None or found.task.class_names[0] == first
    record = {"bbox": [[0.1, 0.2, 0.3, 0.4]], found.label: [0]} | ({found.unjudged: [False]} if found.unjudged else {})
    table = found.table({key: tf.constant(value) for key, value in record.items()}).numpy()
    y1, y2 = (0.7, 0.9) if name == "kitti" else (0.1, 0.3)  # kitti counts from the lower edge
    np.testing.assert_allclose(table[0, :4], [y1, 0.2, y2, 0.4], atol=1e-6)


@pytest.mark.parametrize(
    ("form", "box"), [("REL_YXYX", (0.1, 0.2, 0.3, 0.4)), ("REL_XYXY", (0.2, 0.1, 0.4, 0.3)), ("XYWH", None)]
)
def test_boxes_of_records_are_read_in_the_order_that_they_are_written_in(form, box):
    features = {"bbox": tfds.features.BBoxFeature(bbox_format=form), "label": tfds.features.ClassLabel(names=["a"])}
    features = tfds.features.FeaturesDict({"image": tfds.features.Image(), "objects": tfds.features.Sequence(features)})
    builder = types.SimpleNamespace(info=types.SimpleNamespace(features=features, name="own"))
    if box is None:
        with pytest.raises(
            UserError, match="data set own has boxes of the form XYWH: write them as REL_YXYX or REL_XYXY"
        ):
            boxes_of(builder)
        return
    table = boxes_of(builder).table({"bbox": tf.constant([box]), "label": tf.constant([0])}).numpy()
    np.testing.assert_allclose(table[0], [0.1, 0.2, 0.3, 0.4, 0, 0])


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
