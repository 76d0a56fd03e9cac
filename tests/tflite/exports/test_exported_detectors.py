"""A detector as ONNX and OpenVINO: boxes and scores before the suppression."""

import json

import numpy as np
import pytest
import tensorflow as tf
from networks import answers, small_detector

from keras_mobilenets import tflite
from keras_mobilenets.errors import UserError
from keras_mobilenets.models.detection.anchors import anchors_of, decoded

onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")
pytest.importorskip("tf2onnx", reason="needs the extra onnx")


def test_float_boxes_and_scores_are_those_of_keras(detector_files, pixels, tmp_path):
    model = small_detector()
    path = tflite.export(detector_files["float32"], tmp_path / "m.onnx", batch=None, layout="nchw", keras_model=model)
    session = onnxruntime.InferenceSession(str(path))
    expected = answers(model, values := pixels[:5] / np.float32(127.5) - 1)

    boxes, scores = session.run(["boxes", "scores"], {session.get_inputs()[0].name: values.transpose(0, 3, 1, 2)})

    np.testing.assert_allclose(boxes, decoded(expected[..., :4], anchors_of(model)), atol=1e-4)
    np.testing.assert_allclose(scores, tf.nn.softmax(expected[..., 4:])[..., 1:], atol=1e-5)
    said = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert json.loads(said["labels"]) == ["ash", "birch", "cedar"] and said["task"] == "detection"
    assert said["boxes"].startswith("N×A×4: y1, x1, y2, x2 in shares") and json.loads(said["pixel_mean"]) == [127.5]


def test_onnx_own_suppression_finds_what_the_file_does(detector_files, pixels, tmp_path):
    """NonMaxSuppression of the ONNX standard takes boxes as they are, and scores by class."""
    helper = onnx.helper
    body = onnx.load(tflite.export(detector_files["float32"], tmp_path / "m.onnx"))
    constants = {"most": np.int64([100]), "overlap": np.float32([0.6]), "lowest": np.float32([0.02])}
    body.graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in constants.items())
    body.graph.node.extend(
        [
            helper.make_node("Transpose", ["scores"], ["by_class"], perm=[0, 2, 1]),
            helper.make_node("NonMaxSuppression", ["boxes", "by_class", *constants], ["kept"]),
        ]
    )
    body.graph.output.append(helper.make_tensor_value_info("kept", onnx.TensorProto.INT64, None))
    session = onnxruntime.InferenceSession(body.SerializeToString())
    for image, expected in zip(pixels[:4], tflite.evaluate(detector_files["float32"], pixels[:4]).found, strict=True):
        value = image[None] / np.float32(127.5) - 1
        boxes, scores, kept = session.run(["boxes", "scores", "kept"], {session.get_inputs()[0].name: value})
        order = np.argsort(-scores[0][kept[:, 2], kept[:, 1]], kind="stable")[:100]
        _, classes, places = kept[order].T
        np.testing.assert_allclose(scores[0][places, classes], expected.scores, atol=1e-5)
        np.testing.assert_array_equal(classes, expected.classes)
        np.testing.assert_allclose(boxes[0][places], expected.boxes, atol=1e-4)


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_int8_differs_by_no_more_than_its_levels_and_is_evaluated(detector_files, pixels, box_tables, tmp_path, format):
    pytest.importorskip(format.replace("onnx", "onnxruntime"), reason=f"needs the extra {format}")
    source = detector_files["int8"]
    path = tflite.export(source, folder=tmp_path, format=format)

    found, expected = (tflite.evaluate(each, (pixels, box_tables)) for each in (path, source))

    assert (
        found.classes == 3 and abs(found.precision.map50 - expected.precision.map50) < 0.05 < expected.precision.map50
    )
    np.testing.assert_allclose(
        [one.scores[0] for one in found.found], [one.scores[0] for one in expected.found], atol=0.05
    )
    (row,) = tflite.benchmark(path, min_runs=5, min_seconds=0, warmup_seconds=0)
    assert row.quantization == "int8" and row.median_ms > 0
    with pytest.raises(UserError, match="detects boxes, which is evaluated on the CPU alone"):
        tflite.evaluate(path, pixels, on="reference")
