"""The accuracy of a run's .tflite files, and how their answers differ from the Keras model's."""

from typing import Any

from keras_mobilenets.pipeline.compression import MADE_FROM
from keras_mobilenets.pipeline.conversion import QUANTIZATION_AWARE
from keras_mobilenets.pipeline.folder import RunFolder, alone, variant_of

SHOWN = 24  # test images kept for the report's grid


@alone
def evaluate(run: RunFolder, data: Any = None) -> list[Any]:
    """Scores every .tflite, and the Keras model they came from, on the test split; what was scored stays.

    Args:
        run: The run; `convert` has filled it.
        data: As `Run.data` gives it; the run's own data when not given.

    Returns:
        The rows of results.json.
    """
    rows = run.rows()
    if all(row.score is not None for row in rows):
        return rows
    from keras_mobilenets import tflite
    from keras_mobilenets.tflite.measurement.accuracy import has_several
    from keras_mobilenets.tflite.measurement.evaluation import max_abs_err

    data = data or run.data()
    several = has_several(data)
    inputs, labels = data.inputs("test")
    is_of_classes = data.task.name != "detection"  # else answers are boxes, which have no place of their own
    is_shown = is_of_classes and data.kind.has_pictures
    kept = {}
    known: dict[str, tuple[dict[str, Any], Any]] = {}
    for variant in ("", *run.variants()):
        # Quantization-aware training leaves the layers as they are; its model is one of tf_keras.
        figures = known.get(MADE_FROM.get(variant, ""), ({}, None))[0] if variant in QUANTIZATION_AWARE else None
        known[variant] = _known(run, variant, data, figures, is_of_classes)
    for path in run.tflite_files():
        result = tflite.evaluate(path, (inputs, labels), several=several)
        figures, expected = known.get(variant_of(path), ({}, None))
        figures = figures | result.figures
        if is_of_classes:
            kept[path.stem] = result.predictions[:SHOWN]
            figures["per_class"] = result.per_class(data.class_names)
        if expected is not None:
            figures["max_abs_err"] = max_abs_err(result, expected)
        rows = [row.with_(**figures) if row.model == path.stem else row for row in rows]
    if is_shown:
        shown = data.pictures(inputs[:SHOWN])
        tflite.save_predictions(run.folder / "predictions.npz", shown, labels[:SHOWN], data.class_names, kept)
    run.write(rows)
    return rows


def _known(
    run: RunFolder, variant: str, data: Any, figures: dict[str, Any] | None, answers: bool
) -> tuple[dict[str, Any], Any]:
    """Parameters and multiply-adds of a model, counted where not given; its answers if asked."""
    import numpy as np

    from keras_mobilenets import cost
    from keras_mobilenets.training.compression.model_loader import load_model
    from keras_mobilenets.training.evaluation.forward_pass import forward_pass

    if not run.model_of(variant).exists():
        return {}, None
    model = load_model(run.model_of(variant))
    if figures is None:
        counted = cost(model)
        figures = {"parameters": counted.parameters, "macs": counted.macs}
    if not answers:
        return figures, None
    forward = forward_pass(model)
    return figures, np.concatenate([forward(images) for images, _ in data.scaled_for(model).test])
