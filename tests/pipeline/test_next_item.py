"""The whole road of a recommender: trained on a log, compressed, converted, ranked, timed, reported."""

import csv
import json

import numpy as np
import pytest

from keras_mobilenets import UserError, pipeline, tflite, training
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.measurement.evaluation import score
from keras_mobilenets.training.datasets.sequences.visits import visits

pytestmark = pytest.mark.slow  # two minutes of trainings


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder, log = tmp_path_factory.mktemp("runs"), visits(visitors=200)
    with (folder / "log.csv").open("w", newline="") as file:
        rows = zip(log.users, log.items, log.times, strict=True)
        csv.writer(file).writerows([("user", "item", "timestamp"), *((u, log.item_names[i], t) for u, i, t in rows)])
    made = pipeline.Run(folder / "run")
    made.pipeline(
        "SeparableSequenceNet",
        {"alpha": 0.25},
        data=str(folder / "log.csv"),
        changes={"epochs": 2, "learning_rate": 0.01},
        compress={"qat": 1, "prune": 1},
        quantize=["float32", "int8"],
        calibration=64,
    )
    return made


def test_every_file_has_its_figures_in_results_and_report(run):
    rows = {row["model"]: row for row in json.loads(run.results_file.read_text())["rows"]}
    assert {name.removeprefix("separablesequencenet_0.25_") for name in rows} == {
        "float32", "int8", "qat_int8", "prune_int8",
    }  # fmt: skip
    for row in rows.values():
        assert 0 < row["ndcg10"] <= row["hr10"] <= 1 and row["top1"] is None and row["median_ms"] > 0
    page = (run.folder / "report.html").read_text()
    assert "NDCG@10" in page and "HR@10" in page
    assert run.asked["data"]["task"] == "next_item" and run.asked["recipe"]["augmentation"] == "none"


def test_the_float_file_ranks_as_the_keras_model_and_int8_nearly_so(run):
    model, data = training.load_model(run.model_file), run.data()
    histories, labels = data.inputs("test")
    expected = score(model.predict(histories, verbose=0), labels, ranked=True)
    paths = {row.model.removeprefix("separablesequencenet_0.25_"): f"{row.model}.tflite" for row in run.rows()}
    found = {name: tflite.evaluate(run.folder / path, (histories, labels)) for name, path in paths.items()}
    np.testing.assert_allclose(found["float32"].predictions, expected.predictions, atol=1e-4)
    assert found["float32"].figures == pytest.approx(expected.figures, abs=0.01)
    for name, evaluation in found.items():
        if name != "prune_int8":  # which is another network
            assert evaluation.figures["hr10"] == pytest.approx(expected.figures["hr10"], abs=0.06), name
    zeros = {row.model.rpartition("_prune")[1]: row.sparsity for row in run.rows()}
    assert zeros["_prune"] > 0.3 > zeros[""]


def test_the_answer_of_quantization_aware_training_is_that_of_its_file(run):
    model = training.load_model(run.model_of("qat"))
    histories, _ = run.data().inputs("test", 100)
    path = run.tflite_file("qat", "int8")
    said, found = np.asarray(model(histories)), tflite.evaluate(path, histories).predictions
    assert (said.argmax(axis=1) == found.argmax(axis=1)).mean() > 0.9
    graph = flatbuffer.read(path.read_bytes())
    floats = [t for t in graph.subgraphs[0].tensors if flatbuffer.type_name(t.type) == "float32"]
    assert not floats


def test_what_is_not_for_recommenders_is_one_line(run):
    with pytest.raises(UserError, match="ranks items: keras-mobilenets evaluate"):
        run.examine()
    with pytest.raises(UserError, match="no classifier of images"):
        run.explain([run.folder / "report.html"])
