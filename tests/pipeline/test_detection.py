"""The whole road of a detector: trained, converted, judged, timed, reported."""

import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from keras_mobilenets import UserError, cli, pipeline, tflite, training
from keras_mobilenets.models.detection.anchors import anchors_of
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.measurement.box_accuracy import evaluate_boxes
from keras_mobilenets.training.datasets.boxes.scene_renderer import scene
from keras_mobilenets.training.datasets.shapes_renderer import LABELS
from keras_mobilenets.training.tasks.detection.suppression import found

SIZE = 64

pytestmark = pytest.mark.slow  # a minute of training


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data set in COCO's form."""
    place, content = tmp_path_factory.mktemp("scenes"), {"images": [], "annotations": []}
    for number in range(60):
        pixels, boxes = scene(5, 0, number, SIZE)
        Image.fromarray(pixels).save(place / f"{number}.png")
        content["images"].append({"id": number, "file_name": f"{number}.png", "width": SIZE, "height": SIZE})
        for y1, x1, y2, x2, label in boxes:
            box = [SIZE * x1, SIZE * y1, SIZE * (x2 - x1), SIZE * (y2 - y1)]
            content["annotations"].append({"image_id": number, "category_id": int(label), "bbox": box})
    content["categories"] = [{"id": number, "name": name} for number, name in enumerate(LABELS)]
    (place / "boxes.json").write_text(json.dumps(content))
    return place


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    made = pipeline.Run(tmp_path_factory.mktemp("runs") / "run")
    made.pipeline(
        "SSDLiteMobileNetV2",
        {"alpha": 0.35},
        data=str(folder),
        image_size=SIZE,
        changes={"epochs": 2, "warmup_epochs": 0.5},
        quantize=["float32", "int8"],
        compress={"qat": 1, "prune": 1},
        calibration=64,
    )
    return made


def test_explain_draws_the_boxes_of_images_and_without_images_says_what_is_missed(run, folder, tmp_path, capsys):
    photo = tmp_path / "wide.jpg"
    Image.open(folder / "7.png").convert("RGB").resize((240, 120)).save(photo)
    (found,) = run.explain([photo], out=tmp_path / "shown")
    assert found.is_drawn == bool(found.boxes) == bool(found.shares)
    assert Image.open(found.picture).size == (768, 384) and set(found.shares) <= set(LABELS)
    (star,) = run.explain([photo], of="star", out=tmp_path / "star.png")
    assert set(star.shares) <= {"star"} and star.boxes <= found.boxes
    with pytest.raises(UserError, match="shows its boxes and no layer; leave out --layer"):
        run.explain([photo], layer="block_1_expand")
    for words in (["explain", str(run.folder), str(photo)], ["explain", str(run.folder)]):
        assert cli.main(words) == 0
    said = capsys.readouterr().out
    assert f"{photo}: " in said and "shows what was found" in said
    assert "validation images mAP@0.5 is" in said and "AP@0.5" in said


def test_a_run_refuses_data_whose_classes_have_other_numbers(run, folder, tmp_path):
    content = json.loads((folder / "boxes.json").read_text())
    for number, each in enumerate(content["categories"]):
        each["name"] = LABELS[len(LABELS) - 1 - number]
    for path in folder.glob("*.png"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="give data of the same classes in the same order"):
        run.data(str(tmp_path))


def operator_names(content):
    graph = flatbuffer.read(content)
    return [flatbuffer.operator_name(graph, operator) for operator in graph.subgraphs[0].operators]


def test_the_rows_and_the_page_say_how_good_the_boxes_are(run):
    rows = run.rows()
    assert [(row.quantization, row.compression) for row in rows] == [
        ("none", None), ("int8", None), ("int8", "qat"), ("int8", "prune"),
    ]  # fmt: skip
    assert all(0 <= row.map50 <= 1 and 0 <= row.map <= 1 and row.top1 is None and row.median_ms > 0 for row in rows)
    assert run.asked["data"]["task"] == "detection" and run.asked["recipe"]["label_smoothing"] == 0
    page = (run.folder / "report.html").read_text()
    for words in ("What it finds and misses", "Precision by recall at IoU 0.5", "The worst misses", "mAP@0.5"):
        assert words in page


def test_the_float_file_finds_what_the_keras_model_does_and_int8_has_a_float_tail(run):
    model, data = training.load_model(run.model_file), run.data()
    inputs, _ = data.inputs("test")
    expected = found(model.predict(inputs / np.float32(127.5) - 1, verbose=0), anchors_of(model))
    paths = {row.quantization: run.folder / f"{row.model}.tflite" for row in run.rows() if not row.compression}
    actual = evaluate_boxes(paths["none"], inputs).found
    for one, other in zip(expected, actual, strict=True):
        sure = one.scores > 0.05
        np.testing.assert_allclose(one.scores[sure], other.scores[: sure.sum()], atol=1e-4)
        assert len(other.scores) == len(one.scores)
    graph = flatbuffer.read(paths["int8"].read_bytes())
    names = [flatbuffer.operator_name(graph, operator) for operator in graph.subgraphs[0].operators]
    assert names[-5:] == ["SOFTMAX", "SLICE", "PAD", flatbuffer.DETECTION, "ADD_N"] and not any(
        name.startswith("Flex") for name in names
    )
    made = {int(out): name for name, op in zip(names, graph.subgraphs[0].operators, strict=True) for out in op.outputs}
    tensors = graph.subgraphs[0].tensors
    floats = {
        made[place] for place, t in enumerate(tensors) if place in made and flatbuffer.type_name(t.type) == "float32"
    }
    assert floats == {"DEQUANTIZE", *names[-5:]}


def test_a_quantization_aware_detector_has_the_operators_of_a_calibrated_one(run):
    paths = {row.compression: run.folder / f"{row.model}.tflite" for row in run.rows() if row.quantization == "int8"}
    counts = [Counter(operator_names(paths[kind].read_bytes())) for kind in (None, "qat")]
    assert counts[0] - Counter(RESHAPE=99) == counts[1] - Counter(RESHAPE=99)


def test_a_pruned_detector_has_the_zeros(run):
    pruned = training.load_model(run.model_of("prune"))
    kernels = [layer.kernel for layer in pruned.layers if layer.name.endswith(("_expand", "_project", "_reduce"))]
    assert len(kernels) > 20 and all(
        (np.asarray(kernel) == 0).mean() == pytest.approx(0.75, abs=0.05) for kernel in kernels
    )


def test_a_teacher_and_a_scan_of_layers_are_not_for_detectors(run):
    with pytest.raises(UserError, match="distillation is for class labels"):
        training.distill(training.load_model(run.model_file), training.load_model(run.model_file), run.data())
    with pytest.raises(UserError, match="give one sparsity for all layers"):
        training.sensitivity(training.load_model(run.model_file), run.data())


def test_evaluate_refuses_labels_that_are_no_boxes(run):
    path = run.tflite_files()[0]
    pixels = np.zeros((2, SIZE, SIZE, 3), np.uint8)
    with pytest.raises(UserError, match="detects boxes, and the labels are none"):
        tflite.evaluate(path, (pixels, np.zeros(2, int)))
    with pytest.raises(UserError, match="holds boxes: give a detector, such as SSDLiteMobileNetV2"):
        pipeline.Run(run.folder.parent / "other").train("MobileNetV2", data=run.asked["data"]["name"], image_size=SIZE)
