"""The phone's bundle: what is in it is what the models answer here, and nothing damaged is read."""

import hashlib
import json
import shutil

import numpy as np
import pytest
from PIL import Image

import keras_mobilenets as km
from keras_mobilenets import tflite
from keras_mobilenets.errors import UserError
from keras_mobilenets.pipeline.zoo import spread_answers
from keras_mobilenets.tflite.bundles import writer
from keras_mobilenets.tflite.bundles.manifest import TensorSpec, read_bundle
from keras_mobilenets.tflite.results.results import Row, environment

SIZE, CLASSES = 32, ["red fruit", "blue\nsky"]
STEM = "mobilenetv2_0.35"
KINDS = {"float32": "none", "float16": "float16", "int8": "int8"}


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of two classes: reddish and bluish images."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for name, tint in (("a", (1, 0.3, 0.3)), ("b", (0.3, 0.3, 1))):
        (folder / name).mkdir()
        for index in range(100):
            pixels = rng.uniform(60, 255, (SIZE, SIZE, 3)) * tint
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def run(photos, pixels, tmp_path_factory):
    """A run folder as `pipeline` leaves it, of a network that nobody trained."""
    import keras

    folder = tmp_path_factory.mktemp("runs") / "small"
    folder.mkdir()
    keras.utils.set_random_seed(1)
    model = km.MobileNetV2((SIZE, SIZE, 3), alpha=0.35, classes=2)
    spread_answers(model, km.preprocess_input(pixels))
    paths, cost = {}, km.cost(model)
    for kind, quantize in KINDS.items():
        path = folder / f"{STEM}_{kind}.tflite"
        plain = {"calibration": pixels, "effort": "low"} if kind == "int8" else {}
        paths[kind] = tflite.convert(model, path, quantize=quantize, target="nnapi", **plain)
    rows = [
        Row(path.stem, KINDS[kind], parameters=cost.parameters, macs=cost.macs, top1=0.625)
        for kind, path in paths.items()
    ]
    tflite.write_results(folder / "results.json", rows, environment(paths.values()))
    asked = {
        "data": {"name": str(photos), "image_size": SIZE, "batch_size": 8, "class_names": CLASSES},
        "train": {"builder": "MobileNetV2", "arguments": {"alpha": 0.35}},
        "convert": {paths["int8"].name: {"quantize": "int8", "target": "nnapi"}},
    }
    (folder / "run.json").write_text(json.dumps(asked))
    return folder


@pytest.fixture(scope="module")
def made(run, tmp_path_factory):
    """The bundle of that run."""
    return tflite.bundle(run, tmp_path_factory.mktemp("made") / "bundle", labelled=10, probes=3)


@pytest.fixture
def copy(made, tmp_path):
    """The same, to be damaged."""
    return shutil.copytree(made, tmp_path / "copy")


def test_every_file_is_in_the_manifest_with_its_sha256(made):
    there = {path.relative_to(made).as_posix(): sha256(path) for path in made.rglob("*") if path.is_file()}
    del there["manifest.json"]
    assert json.loads((made / "manifest.json").read_text())["files"] == there
    assert sum(path.stat().st_size for path in made.rglob("*") if path.is_file()) == tflite.read_bundle(made).size_bytes


def test_manifest_says_what_the_run_knows(made, run):
    bundle = tflite.read_bundle(made)
    assert [model.name for model in bundle.models] == [f"{STEM}_{kind}" for kind in KINDS]
    for model in bundle.models:
        assert (made / model.path).read_bytes() == (run / f"{model.name}.tflite").read_bytes()
        assert (model.builder, model.arguments, model.test_top1) == ("MobileNetV2", {"alpha": 0.35}, 0.625)
        assert model.size_bytes == (run / f"{model.name}.tflite").stat().st_size > model.gzip_bytes
        assert model.parameters > 390_000 and model.macs > 1_000_000
        assert bundle.class_names(model) == ["red fruit", "blue sky"]
    float32, float16, int8 = bundle.models
    assert [model.quantization for model in bundle.models] == list(KINDS.values())
    assert (float32.target, int8.target) == (None, "nnapi")
    assert (float16.nnapi_min_api_level, int8.nnapi_min_api_level) == (28, 29)  # int8 came to NNAPI's delegate with 29
    assert int8.input.dtype == "int8" and int8.input.scale == pytest.approx(1 / 127.5, rel=1e-6)
    assert float32.input == type(int8.input)((1, SIZE, SIZE, 3), "float32", 0.0, 0)
    assert (float32.nodes, int8.nodes) == (len(tflite.inspect(made / float32.path).operators),) * 2


@pytest.mark.parametrize(
    ("name", "side", "quantization"),
    [
        ("mobilenetv2_float32", 224, "none"),
        ("mobilenetv2_float32", 225, "none"),
        ("mobilenetv2_float16", 224, "float16"),
        ("mobilenetv2_channels_int8", 224, "none"),
    ],
)
def test_what_was_published_goes_with_exactly_that_network(tmp_path, name, side, quantization):
    run = {"train": {"builder": "MobileNetV2", "arguments": {"alpha": 1.0}}}
    given = writer.Candidate(tmp_path / f"{name}.tflite", run, Row(name))
    found = writer._published(given, quantization, TensorSpec((1, side, side, 3), "float32", 0.0, 0))
    known = km.published_latency("MobileNetV2", input_size=side, quantization=quantization)
    expected = [] if "channels" in name else [(each.device, each.latency_ms, each.source) for each in known]
    assert [(each.device, each.latency_ms, each.source) for each in found] == expected
    assert bool(found) == (name == "mobilenetv2_float32" and side == 224)


def test_the_models_answer_the_probes_as_recorded(made):
    from ai_edge_litert.interpreter import Interpreter

    bundle = tflite.read_bundle(made)
    for model in bundle.models:
        interpreter = Interpreter(str(made / model.path))
        interpreter.allocate_tensors()
        source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
        expected = bundle.probe_outputs(model)
        assert expected.shape == (3, 2) and np.ptp(expected) > 0.1
        for values, answer in zip(bundle.probe_inputs(model), expected, strict=True):
            interpreter.set_tensor(source["index"], values[None])
            interpreter.invoke()
            raw = interpreter.get_tensor(target["index"]).astype(np.float64)
            scale = model.output.scale or 1
            np.testing.assert_allclose(answer, (raw[0] - model.output.zero_point) * scale, atol=1e-6)


def test_probes_are_the_first_images_as_the_manifest_scales_them(made):
    bundle = tflite.read_bundle(made)
    float32, _, int8 = bundle.models
    images, labels = bundle.pictures(float32)
    assert images.shape == (10, SIZE, SIZE, 3) and set(labels) == {0, 1}
    np.testing.assert_allclose(bundle.probe_inputs(float32), images[:3] / 127.5 - 1, atol=1e-6)
    assert (bundle.probe_inputs(int8) == images[:3].astype(int) - 128).all()
    assert float32.probes.inputs == bundle.models[1].probes.inputs  # which takes the same


def test_host_top1_is_that_of_the_labelled_images(made, run):
    bundle = tflite.read_bundle(made)
    for model in bundle.models:
        images, labels = bundle.pictures(model)
        answers = tflite.evaluate(run / f"{model.name}.tflite", images).predictions
        assert model.host_top1 == np.mean(answers.argmax(axis=1) == labels)


def test_the_same_runs_give_the_same_bundle(made, run, tmp_path):
    again = tflite.bundle([run], tmp_path / "bundle", labelled=10, probes=3)
    assert sha256(again / "manifest.json") == sha256(made / "manifest.json")


def test_a_loose_file_is_scored_on_what_is_given_or_on_noise(tflite_files, pixels, tmp_path):
    out, labels = tmp_path / "bundle", np.arange(60) % 7
    paths = [tflite_files["float32"], tflite_files["dynamic"]]
    bundle = tflite.read_bundle(tflite.bundle(paths, out, images=pixels, labels=labels, class_names=list("abcdefg")))
    assert [model.quantization for model in bundle.models] == ["none", "dynamic"]
    assert bundle.class_names(bundle.models[0]) == list("abcdefg")
    expected = tflite.evaluate(paths[0], (pixels, labels)).top1
    assert bundle.models[0].host_top1 == expected and bundle.images[0].labels == tuple(labels)
    bundle = tflite.read_bundle(tflite.bundle(tflite_files["int8"], out))
    assert [model.name for model in bundle.models] == ["int8"]  # in place of the bundle of before
    assert not (out / "models" / "float32.tflite").exists()
    (model,) = bundle.models
    assert (model.host_top1, model.builder, bundle.images[0].labels) == (None, None, ())
    assert bundle.class_names(model)[:2] == ["class 0", "class 1"] and model.probes.count == 4


def test_runs_of_other_sizes_and_classes_share_a_bundle(run, tflite_files, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(tflite_files["int8"], other / f"{STEM}_int8.tflite")
    bundle = tflite.read_bundle(tflite.bundle([run, other], tmp_path / "bundle", labelled=4))
    names = {model.name for model in bundle.models}
    both = {f"{folder}_{STEM}_int8" for folder in ("small", "other")}  # files of one name get their folder's
    assert names == {f"{STEM}_float32", f"{STEM}_float16"} | both
    assert len({model.labels for model in bundle.models}) == 2 and len(bundle.images) == 2
    with pytest.raises(UserError, match="would both be called"):
        tflite.bundle([run, run], tmp_path / "twice", labelled=4)


@pytest.mark.parametrize(
    "name", ["models/{stem}_int8.tflite", "labels.txt", "images/32x32.bin", "probes/{stem}_int8.bin"]
)
def test_a_file_that_is_not_the_manifests_is_refused(copy, name):
    path = copy / name.format(stem=STEM)
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"{path.name} is not the file of the manifest: its SHA-256 differs"):
        tflite.read_bundle(copy)
    path.unlink()
    with pytest.raises(UserError, match="which its manifest names"):
        tflite.read_bundle(copy)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda m: m.update(schema_version=2), "does not fit manifest.schema.json at schema_version"),
        (lambda m: m["models"][0].pop("input"), "'input' is a required property"),
        (lambda m: m["models"][0].update(path="../../etc/passwd"), "does not match"),
        (lambda m: m["models"][0].update(path="/etc/passwd"), "does not match"),
        (lambda m: m["files"].update({"models/..": "0" * 64}), "does not match"),
        (lambda m: m["models"].append(m["models"][0]), "two models are called"),
        (lambda m: m["models"][0].update(path="models/none.tflite"), "is not among its files"),
        (lambda m: m["models"][0].update(size_bytes=1), "should have 1 bytes"),
        (lambda m: m["models"][0].update(images="labels.txt"), "no image set"),
        (lambda m: m["models"][0]["input"].update(shape=[1, 16, 16, 3]), "its images are 32×32"),
        (lambda m: m["models"][0]["output"].update(shape=[1, 3]), "another number of names"),
        (lambda m: m["models"][0]["probes"].update(count=2), "should have"),
        (lambda m: m["images"][0]["labels"].pop(), "10 images and 9 labels"),
        (lambda m: m["images"][0]["labels"].__setitem__(0, 2), "does not fit"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(copy, change, says):
    path = copy / "manifest.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=says) as refused:
        tflite.read_bundle(copy)
    assert "\n" not in str(refused.value)


def test_what_is_no_bundle_is_refused(tmp_path):
    with pytest.raises(UserError, match="make one with keras-mobilenets android bundle"):
        tflite.read_bundle(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(UserError, match="not readable JSON"):
        tflite.read_bundle(tmp_path)


def test_a_folder_that_holds_something_else_is_left_alone(run, copy):
    notes = copy / "models" / "notes.txt"
    notes.write_text("mine")
    with pytest.raises(UserError, match="is not of a bundle"):
        tflite.bundle(run, copy, labelled=4)
    assert notes.read_text() == "mine"
    with pytest.raises(UserError, match="is not of a bundle"):
        tflite.bundle(run, notes, labelled=4)


def test_a_bundle_that_fails_leaves_the_one_of_before(run, copy, tmp_path):
    before = sha256(copy / "manifest.json")
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes((run / f"{STEM}_int8.tflite").read_bytes()[:9000])
    with pytest.raises(UserError, match="damaged"):
        tflite.bundle([run, damaged], copy, labelled=4)
    assert sha256(copy / "manifest.json") == before
    assert {path.name for path in tmp_path.iterdir()} == {"copy", "damaged.tflite"}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"probes": 0}, "probes=0"),
        ({"labelled": 0}, "labelled=0"),
        ({"images": np.zeros((2, SIZE, SIZE, 3))}, "give uint8 pixels"),
        ({"images": np.zeros((2, 16, 16, 3), np.uint8)}, "images are 16×16×3"),
        ({"images": np.zeros((2, SIZE, SIZE, 3), np.uint8), "labels": [0]}, "one for each image"),
        ({"images": np.zeros((2, SIZE, SIZE, 3), np.uint8), "labels": [0, 9]}, "labels run from 0 to 9"),
        ({"class_names": ["one"]}, "7 classes, and 1 class names"),
    ],
)
def test_what_does_not_fit_the_models_is_refused(tflite_files, tmp_path, given, says):
    with pytest.raises(UserError, match=says):
        tflite.bundle(tflite_files["int8"], tmp_path / "bundle", **given)
    assert not list(tmp_path.iterdir())


def test_there_must_be_a_model(tmp_path):
    for sources, says in (
        ([], "nothing to bundle"),
        (tmp_path, "no .tflite"),
        (tmp_path / "x.tflite", "does not exist"),
    ):
        with pytest.raises(UserError, match=says):
            tflite.bundle(sources, tmp_path / "bundle")


def test_several_labels_an_image_are_the_task_of_a_model(tflite_files, pixels, tmp_path):
    rows = (np.random.default_rng(0).random((len(pixels), 7)) < 0.3).astype(np.int64)
    made = read_bundle(tflite.bundle(tflite_files["int8"], tmp_path / "bundle", images=pixels, labels=rows))
    (model,) = made.models
    assert (model.task, model.host_top1, model.test_map) == ("attributes", None, None)
    expected = tflite.evaluate(tflite_files["int8"], (pixels, rows), several=True).figures["map"]
    assert model.host_map == expected
    np.testing.assert_array_equal(made.pictures(model)[1], rows)
    content = json.loads((made.folder / "manifest.json").read_text())
    assert content["images"][0]["labels"][:3] == [np.flatnonzero(row).tolist() for row in rows[:3]]
    content["models"][0]["task"] = "classification"
    (made.folder / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"is for classification, and the labels of .* are of another task"):
        read_bundle(made.folder)


@pytest.fixture(scope="module")
def boxes(detector_files, pixels, box_tables, tmp_path_factory):
    """The bundle of a detector."""
    sources = list(detector_files.values())
    return tflite.bundle(sources, tmp_path_factory.mktemp("boxes") / "bundle", images=pixels, labels=box_tables)


def test_a_detector_is_scored_by_mean_average_precision(boxes, detector_files, pixels, box_tables):
    made = read_bundle(boxes)
    for model in made.models:
        path = detector_files["int8" if "int8" in model.name else "float32"]
        figures = tflite.evaluate(path, (pixels, box_tables)).figures
        assert 0.1 < figures["map50"] < 0.95 and 0.05 < figures["map"] < figures["map50"]
        assert (model.task, model.host_top1, model.host_map, model.host_map50) == ("detection", None, *figures.values())
        assert made.class_names(model) == ["ash", "birch", "cedar"]  # of the file's metadata
        assert (model.output.shape, model.values, model.nodes) == ((1, 100, 4), 601, 12 if "int8" in model.name else 10)
        # But for the tail, which runs on the CPU at any; softmax of three axes needs 29, DEQUANTIZE of int8 30.
        assert model.nnapi_min_api_level == (30 if "int8" in model.name else 29)
    images, labels = made.pictures(made.models[0])
    np.testing.assert_array_equal(images, pixels)
    for row, table in zip(labels, box_tables, strict=True):
        np.testing.assert_array_equal(row[row[:, 4] >= 0], table[table[:, 4] >= 0])


def test_a_detectors_probes_are_its_four_outputs(boxes):
    from ai_edge_litert.interpreter import Interpreter

    made = read_bundle(boxes)
    for model in made.models:
        interpreter = Interpreter(str(boxes / model.path))
        interpreter.allocate_tensors()
        for values, answer in zip(made.probe_inputs(model), made.probe_outputs(model), strict=True):
            interpreter.set_tensor(interpreter.get_input_details()[0]["index"], values[None])
            interpreter.invoke()
            named = {
                each["name"]: interpreter.get_tensor(each["index"])[0] for each in interpreter.get_output_details()
            }
            last = int(answer[600])
            np.testing.assert_allclose(answer[: 4 * last].reshape(-1, 4), named["detection_boxes"][:last], atol=1e-6)
            np.testing.assert_allclose(answer[400 : 400 + last], named["detection_classes"][:last])
            np.testing.assert_allclose(answer[500 : 500 + last], named["detection_scores"][:last], atol=1e-6)
            assert not answer[4 * last : 400].any() and not answer[500 + last : 600].any()
            assert answer[600] == named["num_detections"] > 0


def test_boxes_that_cannot_be_are_refused(boxes, detector_files, tflite_files, pixels, box_tables, tmp_path):
    copied = shutil.copytree(boxes, tmp_path / "copy")
    content = json.loads((copied / "manifest.json").read_text())
    listed = content["images"][0]["labels"]
    for change, says in (
        ([0, 0, 1, 1, 3, 0], "a box is of class 3, and there are 3 of boxes_float32"),
        ([0, 0, 1, 1, 0.5, 0], "a box is of class 0.5"),
        ([0, 0, 1, 1, 1], "does not fit manifest.schema.json"),
    ):
        listed[1] = [change]
        (copied / "manifest.json").write_text(json.dumps(content))
        with pytest.raises(UserError, match=says):
            read_bundle(copied)
    for path, labels, says in (
        (detector_files["int8"], np.zeros(len(pixels), int), "gives boxes, and the labels"),
        (tflite_files["int8"], box_tables, "gives classes, and the labels"),
    ):
        with pytest.raises(UserError, match=says):
            tflite.bundle(path, tmp_path / "other", images=pixels, labels=labels)
    loose = read_bundle(tflite.bundle(detector_files["int8"], tmp_path / "noise", probes=2))
    assert (loose.models[0].host_map, loose.images[0].labels) == (None, ())


def test_the_run_of_a_detector_brings_its_images_and_boxes(detector_files, pixels, tmp_path):
    photos, content = tmp_path / "photos", {"images": [], "annotations": []}
    photos.mkdir()
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(photos / f"{number}.png")
        content["images"].append({"id": number, "file_name": f"{number}.png", "width": 32, "height": 32})
        for k in range(2):
            box = {
                "image_id": number,
                "category_id": (number + k) % 3,
                "bbox": [4 + 8 * k, 8, 16, 8 + 4 * k],
                "iscrowd": 0,
            }
            content["annotations"].append(box)
    content["categories"] = [{"id": number, "name": name} for number, name in enumerate(("ash", "birch", "cedar"))]
    (photos / "boxes.json").write_text(json.dumps(content))
    run = tmp_path / "run"
    run.mkdir()
    path = shutil.copy(detector_files["int8"], run / "detector_int8.tflite")
    rows = [Row("detector_int8", "int8", parameters=1000, macs=2000, map=0.25, map50=0.5)]
    tflite.write_results(run / "results.json", rows, environment([path]))
    names = ["ash", "birch", "silver fir"]
    asked = {
        "data": {"name": str(photos), "image_size": SIZE, "class_names": names, "task": "detection"},
        "train": {"builder": "SSDLiteMobileNetV2", "arguments": {"alpha": 0.35}},
    }
    (run / "run.json").write_text(json.dumps(asked))
    made = read_bundle(tflite.bundle(run, tmp_path / "bundle", labelled=5, probes=2))
    (model,) = made.models
    assert (model.builder, model.test_map, model.test_map50, model.macs) == ("SSDLiteMobileNetV2", 0.25, 0.5, 2000)
    assert made.class_names(model) == names
    images, tables = made.pictures(model)
    originals = [int(np.flatnonzero((pixels == image).all(axis=(1, 2, 3)))[0]) for image in images]
    for number, table in zip(originals, tables, strict=True):
        expected = [[0.25, 0.125, 0.5, 0.625, number % 3, 0], [0.25, 0.375, 0.625, 0.875, (number + 1) % 3, 0]]
        np.testing.assert_allclose(table[table[:, 4] >= 0], expected, atol=1e-6)
    figures = tflite.evaluate(path, (images, tables)).figures
    assert (model.host_map, model.host_map50) == (figures["map"], figures["map50"])
