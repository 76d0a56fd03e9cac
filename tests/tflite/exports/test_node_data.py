"""Node data against the form that Model Explorer reads: graphs by name, of each its results by node."""

import json

import keras
import numpy as np
import pytest

import keras_mobilenets as km
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


def test_model_explorer_finds_an_operator_under_every_figure(tmp_path):
    """Its own reader of .tflite names the graph and its nodes; its own class of node data writes the same file."""
    adapter = pytest.importorskip(
        "model_explorer.builtin_tflite_flatbuffer_adapter", reason="ai-edge-model-explorer is not installed"
    )
    from model_explorer import node_data_builder as builder

    keras.utils.set_random_seed(0)
    inputs = x = keras.Input((16, 16, 3))
    x = km.blocks.inverted_residual(keras.layers.Conv2D(8, 3, name="stem")(x), 8, 2, name="block")
    model = keras.Model(inputs, keras.layers.Dense(4, name="answer")(keras.layers.GlobalAveragePooling2D()(x)))
    images = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3)).astype(np.uint8)
    path = tflite.convert(model, tmp_path / "m_int8.tflite", quantize="int8", calibration=images, effort="low")
    how = {
        "profile": tflite.profile(path),
        "errors": tflite.layer_errors(model, path, images),
        "sensitivity": tflite.sensitivity(model, images),
        "checks": [("xnnpack", tflite.check(path, "xnnpack"))],
    }

    made = tflite.node_data(path, tmp_path, **how)

    (collection,) = adapter.BuiltinTfliteFlatbufferAdapter().convert(str(path), {})["graphCollections"]
    (graph,) = collection.graphs
    labels = {node["id"]: node["label"] for node in graph["nodes"]}
    operators = {"conv_2d", "depthwise_conv_2d", "fully_connected"}
    assert [file.name for file in made] == [
        f"m_int8_{k}.json" for k in ("latency", "sqnr", "sensitivity", "on_xnnpack")
    ]
    for file in made:
        content = json.loads(file.read_text())
        assert list(content) == [graph["id"]]
        data = content[graph["id"]]
        assert {place for place, label in labels.items() if label in operators} <= set(data["results"]) <= set(labels)
        results = {key: builder.NodeDataResult(**value) for key, value in data["results"].items()}
        gradient = [builder.GradientItem(**stop) for stop in data["gradient"]]
        official = builder.ModelNodeData({"main": builder.GraphNodeData(results, data["name"], gradient=gradient)})
        assert json.loads(official.to_json_string())["main"].items() >= data.items()


def test_figures_of_another_file_are_refused(tflite_files, tmp_path):
    errors = LayerErrors(tflite_files["float32"], (), 0, 1)

    with pytest.raises(UserError, match="are not those of"):
        tflite.node_data(tflite_files["int8"], tmp_path, errors=errors)
