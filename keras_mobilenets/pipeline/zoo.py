"""The networks of the documents' comparison, each in a run folder: float32, float16, int8 (PTQ) and int8 (QAT).

Trained, they answer which network is best on the user's data; untrained, only how fast each is.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_mobilenets import files
from keras_mobilenets.errors import UserError
from keras_mobilenets.pipeline.conversion import CALIBRATION, USUAL
from keras_mobilenets.pipeline.run import Announce, Run, silent

NETWORKS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("StandardConvNet", {}),
    ("MobileNetV1", {}),
    ("MobileNetV2", {}),
    ("MobileNetV2", {"alpha": 0.5}),
    ("MobileNetV3Large", {}),
    ("MobileNetV3Small", {}),
)
NOISE = 16  # images of noise that untrained int8 models are calibrated on
SPREAD = 3.0  # standard deviation of an untrained network's logits on them


def trained_zoo(
    folder: str | Path,
    networks: Sequence[str] = (),
    *,
    image_size: int = 64,
    qat_epochs: int = 1,
    calibration: int = CALIBRATION,
    target: str = "nnapi",
    announce: Announce = silent,
    **training: Any,
) -> list[Path]:
    """Trains, compresses, converts and scores each network; what is there and up to date is skipped.

    Args:
        folder: A run folder for each network goes here.
        networks: Only these, such as "MobileNetV2"; all six when empty.
        image_size: Side of the images in pixels.
        qat_epochs: Epochs of quantization-aware training.
        calibration: Training images for int8 PTQ.
        target: Of int8 files, as in `tflite.convert`.
        announce: Called with a line before each network.
        **training: Further arguments of `Run.train`, such as data="photos".

    Returns:
        The run folders.
    """
    runs = []
    for builder, arguments, run in _runs(Path(folder), networks):
        announce(f"{run.folder}: {builder} on {training.get('data', 'shapes')} at {image_size} px")
        run.train(builder, arguments, image_size=image_size, **training)
        run.compress("qat", None, {"epochs": qat_epochs})
        run.convert(USUAL, calibration, target)
        run.evaluate()
        runs.append(run.folder)
    return runs


def untrained_zoo(
    folder: str | Path,
    networks: Sequence[str] = (),
    *,
    image_size: int = 64,
    classes: int = 1000,
    target: str = "nnapi",
    announce: Announce = silent,
) -> list[Path]:
    """Converts each network with the weights it begins with: latency is real, answers mean nothing.

    QAT changes weights only, so there is no file of its own for it.

    Args:
        folder: As in `trained_zoo`, like all arguments but one.
        networks: As in `trained_zoo`.
        image_size: As in `trained_zoo`.
        classes: Number of classes.
        target: As in `trained_zoo`.
        announce: As in `trained_zoo`.

    Returns:
        The run folders.
    """
    runs = []
    for builder, arguments, run in _runs(Path(folder), networks):
        announce(f"{run.folder}: {builder}, untrained, at {image_size} px with {classes} classes")
        asked = {"builder": builder, "arguments": arguments, "size": image_size, "classes": classes}
        if run.asked:
            files.refuse_other(run.folder, "network with", run.asked.get("untrained", {}), asked)
        if not run.model_file.exists():
            _build(run, asked)
        run.convert(USUAL, NOISE, target, _Noise(image_size))
        _record_cost(run)
        runs.append(run.folder)
    return runs


def spread_answers(model: Any, images: Any) -> None:
    """Gives a network of initial weights answers that differ, which an image's way through it otherwise levels out.

    Batch normalization gets the statistics of these images, the classifier the scale that spreads its logits.

    Args:
        model: Keras model with a softmax at its end.
        images: Its input, N×H×W×3.
    """
    import numpy as np
    from keras import ops

    from keras_mobilenets.training.engine.batch_normalization import estimate_statistics

    estimate_statistics(model, images)
    logits = np.log(np.maximum(ops.convert_to_numpy(model(images)), 1e-30))
    classifier = [layer for layer in model.layers if hasattr(layer, "kernel")][-1]
    classifier.kernel.assign(classifier.kernel * (SPREAD / logits.std(axis=1).mean()))


class _Noise:
    """Stands for the data of a run that has none."""

    name = "noise"

    def __init__(self, size: int) -> None:
        self._size = size

    def inputs(self, split: str, count: int, seed: int) -> tuple[Any, None]:
        from keras_mobilenets.tflite.bundles.writer import noise

        return noise(count, self._size, self._size), None


def _build(run: Run, asked: dict[str, Any]) -> None:
    import keras

    import keras_mobilenets as km

    keras.utils.set_random_seed(0)
    size = asked["size"]
    model = km.create_model(
        asked["builder"], input_shape=(size, size, 3), classes=asked["classes"], **asked["arguments"]
    )
    spread_answers(model, km.preprocess_input(_Noise(size).inputs("train", NOISE, 0)[0]))
    with files.atomic(run.model_file) as path:
        model.save(path)
    files.write_json(
        run.folder / "run.json",
        {"model": {"name": model.name}, "train": {k: asked[k] for k in ("builder", "arguments")}, "untrained": asked},
    )


def _record_cost(run: Run) -> None:
    """Writes parameters and multiply-adds into results.json, as `evaluate` would."""
    from keras_mobilenets import cost
    from keras_mobilenets.weights.saved_model import load_model

    if not all(row.parameters for row in run.rows()):
        counted = cost(load_model(run.model_file))
        run.write([row.with_(parameters=counted.parameters, macs=counted.macs) for row in run.rows()])


def _runs(folder: Path, wanted: Sequence[str]) -> list[tuple[str, dict[str, Any], Run]]:
    names = list(dict.fromkeys(builder for builder, _ in NETWORKS))
    for name in wanted:
        if name not in names:
            raise UserError(f"--networks {name}: choose of {', '.join(names)}")
    return [
        (builder, arguments, Run(folder / "_".join([builder.lower(), *map(str, arguments.values())])))
        for builder, arguments in NETWORKS
        if not wanted or builder in wanted
    ]
