"""The whole road for several labels an image, as for one: training, compression, int8, accuracy, report, bundle."""

import pytest

from keras_mobilenets import pipeline, tflite
from keras_mobilenets.tflite.bundles.manifest import read_bundle
from keras_mobilenets.training.datasets.attributes.shapes_attributes import ShapesAttributes
from keras_mobilenets.training.datasets.embedded_builder import Sizes
from keras_mobilenets.training.evaluation import precision_recall


@pytest.mark.slow
def test_a_run_of_several_labels_goes_the_whole_road(tmp_path, monkeypatch):
    monkeypatch.setattr(ShapesAttributes, "SIZES", Sizes(name="default", train=96, validation=32, test=32))
    run = pipeline.Run(tmp_path / "run")
    changes = {"epochs": 1, "augmentation": "none", "class_weights": "balanced"}
    given = {"data": "shapes_attributes", "image_size": 32, "batch_size": 16, "data_dir": str(tmp_path)}
    run.train("MobileNetV1", {"alpha": 0.25}, changes=changes, **given)
    for kind in ("qat", "prune", "channels"):  # the first distils the float model
        run.compress(kind, changes={"epochs": 1})
    run.convert(["float32", "int8"], 64)
    rows = {(row.quantization, row.compression): row for row in run.evaluate()}
    assert set(rows) == {("none", None), *(("int8", kind) for kind in (None, "qat", "prune", "channels"))}
    data = run.data()
    inputs, labels = data.inputs("test")
    for path in run.tflite_files():
        result = tflite.evaluate(path, (inputs, labels), several=True)
        row = next(row for row in rows.values() if row.model == path.stem)
        assert row.map == precision_recall.mean(precision_recall.average_precision(result.predictions, labels))
        assert list(row.per_class) == data.class_names and row.top1 is None
    assert rows["none", None].max_abs_err < 1e-5 and rows["int8", "qat"].max_abs_err < 0.1
    assert "Precision over recall of each label" in run.report().read_text(encoding="utf-8")
    bundle = read_bundle(tflite.bundle(run.folder, tmp_path / "bundle"))
    assert {model.task for model in bundle.models} == {"attributes"}
    assert sorted(model.host_map for model in bundle.models) == sorted(row.map for row in rows.values())
    _, kept = bundle.pictures(bundle.models[0])
    assert kept.shape == (32, 5) and kept.sum() == labels.sum()
