"""Node data against the form that Model Explorer reads: graphs by name, of each its results by node."""

import json

import numpy as np
import pytest

from keras_mobilenets import tflite
from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.results.layer_errors import LayerError, LayerErrors


def test_figures_are_written_by_the_place_of_their_operator(tflite_files, tmp_path):
    path = tflite_files["int8"]
    profile = tflite.profile(path)
    check = tflite.check(path, "xnnpack")
    rows = LayerError(0, "CONV_2D", "conv", 31.5, 1.0), LayerError(1, "DEPTHWISE_CONV_2D", "depthwise", None, 1.0)

    made = tflite.node_data(
        path, tmp_path, profile=profile, errors=LayerErrors(path, rows, 5, 1), checks=[("nnapi:31", check)]
    )

    assert [file.name for file in made] == ["int8_latency.json", "int8_sqnr.json", "int8_on_nnapi_31.json"]
    latency, sqnr, delegated = (json.loads(file.read_text())["main"] for file in made)
    total = sum(each["value"] for each in latency["results"].values())
    np.testing.assert_allclose(total, profile.operators_ms, rtol=1e-6)
    assert sqnr["results"] == {"0": {"value": 31.5}}
    assert len(delegated["results"]) == len(check.operators)
    for data in (latency, sqnr, delegated):
        assert data["name"] and [stop["stop"] for stop in data["gradient"]] == [0, 1]
    builder = pytest.importorskip("model_explorer.node_data_builder", reason="ai-edge-model-explorer is not installed")
    results = {key: builder.NodeDataResult(**value) for key, value in latency["results"].items()}
    gradient = [builder.GradientItem(**stop) for stop in latency["gradient"]]
    official = builder.ModelNodeData({"main": builder.GraphNodeData(results, latency["name"], gradient=gradient)})
    assert json.loads(official.to_json_string())["main"]["results"] == latency["results"]


def test_figures_of_another_file_are_refused(tflite_files, tmp_path):
    errors = LayerErrors(tflite_files["float32"], (), 0, 1)

    with pytest.raises(UserError, match="are not those of"):
        tflite.node_data(tflite_files["int8"], tmp_path, errors=errors)
