"""TFLite Metadata, as the format's own generated code in MediaPipe and MediaPipe's ImageClassifier read it."""

import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from networks import small_detector
from world import package_folder

from keras_mobilenets import tflite
from keras_mobilenets.errors import UserError
from keras_mobilenets.pixels.scaling import said
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.graph.metadata import attach, metadata_of
from keras_mobilenets.tflite.graph.verifier import check

LABELS = ["ash", "birch", "cedar of Lebanon", "dogwood", "elm", "fir", "ginkgo"]


@pytest.fixture(scope="module", params=["float32", "int8"])
def described(request, keras_model, pixels, tmp_path_factory):
    path = tmp_path_factory.mktemp("metadata") / f"{request.param}.tflite"
    int8 = (
        {"quantize": "int8", "calibration": pixels, "effort": "low", "io_dtype": "uint8"}
        if request.param == "int8"
        else {}
    )
    return tflite.convert(keras_model, path, pixels="-1..1", labels=LABELS, **int8)


def test_the_labels_are_listed_by_unzip(described):
    with zipfile.ZipFile(described) as archive:
        assert archive.testzip() is None
        assert archive.read("labels.txt").decode().splitlines() == LABELS
        assert archive.getinfo("labels.txt").compress_type == zipfile.ZIP_STORED


def test_what_is_written_is_read(described):
    found = metadata_of(described.read_bytes())
    assert (found.normalization, found.labels) == (((127.5,), (127.5,)), tuple(LABELS))
    line = next(line for line in str(tflite.inspect(described)).splitlines() if line.startswith("metadata"))
    assert line.endswith("pixels -1..1; 7 labels: ash, birch, cedar of Lebanon and 4 more")


def test_the_model_computes_the_same_behind_it(tflite_files, pixels):
    before = tflite_files["float32"].read_bytes()
    after = attach(before, "m", said("-1..1"), LABELS)
    check(flatbuffer.read(after))
    answers = []
    for content in (before, after):
        interpreter = Interpreter(model_content=content)
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels[:1].astype(np.float32))
        interpreter.invoke()
        answers.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    np.testing.assert_array_equal(*answers)


def test_labels_must_be_as_many_as_classes(keras_model, tmp_path):
    with pytest.raises(UserError, match=r"2 labels are given but .* has 7 classes"):
        tflite.convert(keras_model, tmp_path / "m.tflite", pixels="-1..1", labels=["a", "b"])


def test_damaged_metadata_is_as_none_or_as_some_other(tflite_files):
    content = attach(tflite_files["float32"].read_bytes(), "m", said("imagenet"), LABELS)
    model = flatbuffer.read(content)
    (entry,) = (entry for entry in model.metadata if entry.name == b"TFLITE_METADATA")
    stored = bytes(model.buffers[entry.buffer].data)
    place, rng = content.index(stored), np.random.default_rng(0)
    found = metadata_of(content).normalization
    np.testing.assert_allclose(found, (said("imagenet").mean, said("imagenet").std), rtol=1e-6)
    read = 0
    for _ in range(300):
        damaged = bytearray(content)
        for at in rng.integers(8, len(stored), 3):
            damaged[place + at] = rng.integers(256)
        found = metadata_of(bytes(damaged))
        read += found is not None
        assert found is None or found.normalization is None or min(found.normalization[1]) > 0
    assert 0 < read < 300


CLASSIFY = """
import json, sys
sys.modules["tensorflow"] = None  # MediaPipe's protobuf is older than TensorFlow's, which it does without
import numpy as np, mediapipe as mp
from mediapipe.tasks.python import BaseOptions, vision
options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=sys.argv[1]), max_results=1)
classifier = vision.ImageClassifier.create_from_options(options)
best = [classifier.classify(mp.Image(image_format=mp.ImageFormat.SRGB, data=image)).classifications[0].categories[0]
        for image in np.load(sys.argv[2])]
print(json.dumps([[each.category_name, each.score] for each in best]))
"""


def by_mediapipe(program, path, images, folder):
    """What a program of MediaPipe's own prints of a file and images, in a process without TensorFlow."""
    site = str(package_folder("mediapipe").parent)
    np.save(folder / "images.npy", images)
    command = [sys.executable, "-c", program, str(path), str(folder / "images.npy")]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": site})
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_mediapipe_names_the_same_classes(described, pixels, tmp_path):
    named = by_mediapipe(CLASSIFY, described, pixels[:20], tmp_path)
    predictions = tflite.evaluate(described, pixels[:20]).predictions
    assert [name for name, _ in named] == [LABELS[best] for best in predictions.argmax(axis=1)]
    assert len({name for name, _ in named}) > 1
    np.testing.assert_allclose([score for _, score in named], predictions.max(axis=1), atol=0.02)


DETECT = """
import json, sys
sys.modules["tensorflow"] = None
import numpy as np, mediapipe as mp
from mediapipe.tasks.python import BaseOptions, vision
options = vision.ObjectDetectorOptions(base_options=BaseOptions(model_asset_path=sys.argv[1]), score_threshold=0.5)
detector = vision.ObjectDetector.create_from_options(options)
found = [detector.detect(mp.Image(image_format=mp.ImageFormat.SRGB, data=image)).detections
         for image in np.load(sys.argv[2])]
print(json.dumps([[[each.categories[0].category_name, each.categories[0].score, each.bounding_box.origin_x,
                    each.bounding_box.origin_y] for each in boxes] for boxes in found]))
"""


def test_a_detector_says_its_labels(detector_files):
    for path in detector_files.values():
        assert metadata_of(path.read_bytes()).labels == ("ash", "birch", "cedar")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_mediapipe_finds_the_same_boxes(detector_files, pixels, tmp_path, kind):
    """It gives corners as whole pixels, so images are as the model takes them."""
    path = detector_files[kind]
    if kind == "int8":  # as MediaPipe takes it
        given = {"pixels": "-1..1", "labels": ["ash", "birch", "cedar"], "calibration": pixels, "io_dtype": "uint8"}
        path = tflite.convert(small_detector(), tmp_path / "uint8.tflite", quantize="int8", **given)
    answers = by_mediapipe(DETECT, path, pixels[:12], tmp_path)
    found = tflite.evaluate(path, pixels[:12]).found
    assert sum(map(len, answers)) > 12
    for theirs, (boxes, scores, classes) in zip(answers, found, strict=True):
        sure = scores >= 0.5
        assert len(theirs) == sure.sum()
        boxes = np.clip(32 * boxes, 0, 32)
        for (name, score, x, y), box, own, label in zip(theirs, boxes, scores, classes, strict=False):
            assert name == ["ash", "birch", "cedar"][label]
            assert abs(score - own) < 0.02 and abs(y - box[0]) <= 1.1 and abs(x - box[1]) <= 1.1
