"""Callbacks of experiment trackers, in their own local stores."""

import csv

import pytest

import keras_mobilenets as km
from keras_mobilenets import training


def test_mlflow_records_the_curves_of_fit(data, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
    callback = pytest.importorskip("mlflow.keras.callback", reason="mlflow is not installed").MlflowCallback
    mlflow.set_tracking_uri((tmp_path / "store").as_uri())
    model = km.MobileNetV1((32, 32, 3), alpha=0.25, classes=3)

    with mlflow.start_run() as started:
        training.fit(model, data, training.Recipe(epochs=2), tmp_path / "run", callbacks=[callback()])
        mlflow.flush_async_logging()

    tracked = mlflow.MlflowClient().get_metric_history(started.info.run_id, "val_accuracy")
    with open(tmp_path / "run" / "history.csv", newline="") as file:
        expected = [float(row["val_accuracy"]) for row in csv.DictReader(file)]
    assert [metric.value for metric in sorted(tracked, key=lambda each: each.step)] == pytest.approx(expected, abs=1e-4)


def test_wandb_records_the_curves_of_fit(data, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    wandb = pytest.importorskip("wandb", reason="wandb is not installed")
    logger = pytest.importorskip("wandb.integration.keras", reason="wandb is not installed").WandbMetricsLogger
    model = km.MobileNetV1((32, 32, 3), alpha=0.25, classes=3)

    with wandb.init(project="test", dir=tmp_path) as tracked:
        history = training.fit(model, data, training.Recipe(epochs=1), tmp_path / "run", callbacks=[logger()])
        said = tracked.summary["epoch/val_accuracy"]

    assert said == pytest.approx(history.history["val_accuracy"][-1], abs=1e-6)
