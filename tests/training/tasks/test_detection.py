"""A detector's targets, loss and judgement against pycocotools and against what can be said by hand."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import keras_mobilenets as km
from keras_mobilenets import UserError
from keras_mobilenets.models.detection.anchors import anchors, corners, decoded
from keras_mobilenets.training.recipe import Recipe
from keras_mobilenets.training.tasks.detection import matching
from keras_mobilenets.training.tasks.detection.average_precision import average_precision
from keras_mobilenets.training.tasks.detection.boxes import overlap
from keras_mobilenets.training.tasks.detection.detection import Detection
from keras_mobilenets.training.tasks.detection.loss import detection_loss
from keras_mobilenets.training.tasks.detection.suppression import Found, found

ANCHORS = anchors([(5, 5, 3), (3, 3, 6), (2, 2, 6), (1, 1, 6), (1, 1, 6), (1, 1, 6)])
NOTHING = (0, 0, 0, 0, -1, 0)


def tables(*rows):
    """One image's label."""
    return np.array([[*rows, *[NOTHING] * (4 - len(rows))]], np.float32)


def test_every_box_has_an_anchor_whose_offsets_decode_to_it():
    rng = np.random.default_rng(0)
    low, sides = rng.uniform(0, 0.7, (4, 2)), rng.uniform(0.02, 0.3, (4, 2))
    boxes = np.concatenate([low, low + sides], axis=1)
    label = np.concatenate([boxes, np.arange(4)[:, None], np.zeros((4, 1))], axis=1)[None].astype(np.float32)
    target = matching.targets(tf.constant(label), ANCHORS).numpy()[0]
    for number, box in enumerate(boxes):
        mine = target[:, 4] == 1 + number
        assert mine.any()
        np.testing.assert_allclose(decoded(target[:, :4], ANCHORS)[mine], np.tile(box, (mine.sum(), 1)), atol=1e-5)


def test_boxes_between_the_sizes_of_anchors_are_answered_for_by_several():
    rng, grid = np.random.default_rng(1), anchors([(10, 10, 3), (5, 5, 6), (3, 3, 6), (2, 2, 6), (1, 1, 6), (1, 1, 6)])
    low = rng.uniform(0, 0.75, (200, 2))
    boxes = np.concatenate([low, low + 0.24], axis=1)  # of those anchors, the square ones are of 0.1 and 0.35
    label = np.concatenate([boxes, np.ones((200, 1)), np.zeros((200, 1))], axis=1)[:, None].astype(np.float32)
    positives = matching.targets(tf.constant(label), grid).numpy()[..., 4] > 0
    best = overlap(tf.constant(label[:, :, :4]), tf.constant(corners(grid))).numpy()[:, 0]
    assert (best >= 0.5).sum(axis=1).mean() < 2 and positives.sum(axis=1).mean() > 3
    assert (best[positives] >= 0.8 * best.max(axis=1).repeat(positives.sum(axis=1))).all()


def test_crowds_are_ignored_and_no_box_is_background():
    box = (*corners(ANCHORS)[7], 2, 0)
    assert (matching.targets(tf.constant(tables()), ANCHORS).numpy()[..., 4] == 0).all()
    crowd = matching.targets(tf.constant(tables((*box[:5], 1))), ANCHORS).numpy()[0, :, 4]
    assert crowd[7] == matching.IGNORED and (crowd <= 0).all()
    flat = matching.targets(tf.constant(tables((0.5, 0.5, 0.5, 0.5, 1, 0))), ANCHORS).numpy()
    assert np.isfinite(flat).all()  # a box of no area harms nothing


def test_the_right_answer_costs_nothing_and_wrong_ones_more():
    target = matching.targets(tf.constant(tables((0.1, 0.1, 0.5, 0.4, 1, 0))), ANCHORS).numpy()
    logits = np.zeros((1, len(ANCHORS), 4), np.float32)
    np.put_along_axis(logits, np.maximum(target[..., 4:], 0).astype(int), 20.0, axis=2)
    right = np.concatenate([target[..., :4], logits], axis=2)
    shifted, unsure = right.copy(), right.copy()
    shifted[..., :4] += 1
    unsure[..., 4:] = 0
    costs = [float(detection_loss(target, tf.constant(answer))[0]) for answer in (right, shifted, unsure)]
    assert costs[0] < 1e-6 and costs[1] == pytest.approx(4 * 0.5, abs=1e-5) and costs[2] > 0.1


def test_label_smoothing_is_that_of_keras_weighted_by_the_focal_factor_of_the_label():
    target = matching.targets(tf.constant(tables((0.1, 0.1, 0.5, 0.4, 1, 0))), ANCHORS).numpy()
    logits = np.random.default_rng(4).normal(0, 2, (1, len(ANCHORS), 4)).astype(np.float32)
    numbers = target[0, :, 4].astype(int)
    one_hot = np.eye(4)[numbers]
    by_keras = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1, reduction=None)
    chance = np.asarray(keras.ops.softmax(logits[0]))[np.arange(len(numbers)), numbers]
    focal = np.where(numbers > 0, 0.75, 0.25) * (1 - chance) ** 2 * np.asarray(by_keras(one_hot, logits[0]))
    answer = tf.constant(np.concatenate([target[..., :4], logits], axis=2))
    detector = km.create_model("SSDLiteMobileNetV2", input_shape=(64, 64, 3), alpha=0.35, classes=3)
    loss = Detection(["a", "b", "c"], 4).objective(detector, Recipe(label_smoothing=0.1)).loss
    assert float(loss(target, answer)[0]) == pytest.approx(focal.sum() / (numbers > 0).sum(), rel=1e-5)
    assert float(detection_loss(target, answer)[0]) != pytest.approx(focal.sum() / (numbers > 0).sum(), rel=1e-2)


def test_average_precision_is_that_of_files_that_pycocotools_reads(tmp_path):
    rng = np.random.default_rng(3)
    label, answers = np.zeros((12, 5, 6), np.float32), []
    for image in label:
        low, sides = rng.uniform(0, 0.6, (5, 2)), rng.uniform(0.05, 0.4, (5, 2))
        image[:] = np.concatenate([low, low + sides, rng.integers(0, 3, (5, 1)), np.zeros((5, 1))], axis=1)
        image[4, 5] = 1
        boxes = np.concatenate([image[:, :4] + rng.normal(0, 0.02, (5, 4)), image[:2, :4] + 0.03])
        answers.append(
            Found(boxes.astype(np.float32), rng.uniform(0.1, 1, 7), np.append(image[:, 4], [0, 1]).astype(int))
        )
    label[0, 1:] = NOTHING
    ours = average_precision(label, answers, 3, (200, 300))

    def entry(place, image, box, kind):
        y1, x1, y2, x2 = (float(v) for v in np.float64(box) * (200, 300, 200, 300))
        return {
            "id": place, "image_id": image, "category_id": int(kind), "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": (x2 - x1) * (y2 - y1),
        }  # fmt: skip

    rows = [(i, row) for i, table in enumerate(label) for row in table if row[4] >= 0]
    truth = [entry(n, i, row[:4], row[4]) | {"iscrowd": int(row[5])} for n, (i, row) in enumerate(rows, 1)]
    said = [
        {key: value for key, value in entry(0, i, box, kind).items() if key != "id"} | {"score": float(score)}
        for i, each in enumerate(answers)
        for box, score, kind in zip(*each, strict=True)
    ]
    content = {
        "info": {}, "images": [{"id": i, "width": 300, "height": 200} for i in range(12)],
        "categories": [{"id": i, "name": str(i)} for i in range(3)], "annotations": truth,
    }  # fmt: skip
    (tmp_path / "truth.json").write_text(json.dumps(content))
    (tmp_path / "said.json").write_text(json.dumps(said))
    reference = COCO(str(tmp_path / "truth.json"))
    judged = COCOeval(reference, reference.loadRes(str(tmp_path / "said.json")), "bbox")
    judged.evaluate()
    judged.accumulate()
    judged.summarize()
    small, medium, large = (None if value < 0 else value for value in judged.stats[3:6])
    assert 0.1 < ours.map < 0.9
    assert (ours.map, ours.map50) == pytest.approx(tuple(judged.stats[:2]), abs=1e-9)
    for name, value in (("small", small), ("medium", medium), ("large", large)):
        assert np.isnan(ours.by_size[name]) if value is None else ours.by_size[name] == pytest.approx(value, abs=1e-9)


def test_suppression_keeps_the_surest_of_boxes_that_overlap():
    answer = np.zeros((1, len(ANCHORS), 7), np.float32)
    answer[..., 4] = 9  # background
    answer[0, 30, 4:] = (0, 8, 0)
    answer[0, 31, 4:] = (0, 7, 0)
    answer[0, 31, :4] = matching.encoded(tf.constant(corners(ANCHORS[30:31])), tf.constant(ANCHORS[31:32])).numpy()
    answer[0, 75, 4:] = (0, 0, 6)
    boxes, scores, classes = found(answer, ANCHORS)[0]
    assert classes[:2].tolist() == [0, 1] and (scores[2:] < 0.1).all()
    np.testing.assert_allclose(boxes[0], corners(ANCHORS)[30], atol=1e-6)


def test_a_classifier_and_boxes_do_not_go_together():
    task = Detection(["a", "b"], 4)
    with pytest.raises(UserError, match="build a detector, such as SSDLiteMobileNetV2, with classes=2"):
        task.check(km.MobileNetV2((32, 32, 3), 0.35, classes=2), "here")
    detector = km.create_model("SSDLiteMobileNetV2", input_shape=(64, 64, 3), alpha=0.35, classes=3)
    with pytest.raises(UserError, match="detects 3 classes but here has 2"):
        task.check(detector, "here")
    with pytest.raises(UserError, match="boxes cannot be blended"):
        task.soft(tf.zeros((1, 4, 6)))
    assert task.objective(detector, Recipe()).monitor == "val_loss"
    with pytest.raises(UserError, match="a detector's anchors are of one size: leave stages at 1"):
        task.objective(detector, Recipe.named("progressive"))
    assert task.caption(tables((0, 0, 1, 1, 1, 0), (0, 0, 1, 1, 1, 0), (0, 0, 1, 1, 0, 0))[0]) == "2 b, a"
