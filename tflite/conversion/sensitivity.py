"""Which layers int8 hurts most: each is quantized alone, all others in float, and the model's output compared.

One conversion and a run over the images for each layer: under half a second for a small network. The errors that
`layer_errors` shows add up from layer to layer; these do not, so that they say which layer to leave in float.
"""

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.pixels.preprocessing_layers import scaling_of
from keras_mobilenets.progress import track
from keras_mobilenets.tflite.conversion.output_error import answer, logits, sqnr_db, without_softmax
from keras_mobilenets.tflite.conversion.samples import samples
from keras_mobilenets.tflite.graph import flatbuffer, layer_names
from keras_mobilenets.tflite.runtime.activations import outputs
from keras_mobilenets.weights.imagenet_classes import softmax


@dataclass(frozen=True)
class LayerSensitivity:
    """What becomes of the model's output when this layer alone is int8.

    Attributes:
        layer: Name of the Keras layer or block.
        sqnr_db: Power of the float output (before a softmax) over that of the difference, in decibels; infinite when
            there is none. Of several outputs the one that suffers most; what follows is of the first.
        divergence: Mean Kullback–Leibler divergence from the float model's probabilities (softmax), in nats.
        agreement: Share of the images that get the same class as in float.
        top1: Share of the images that get their label; None without labels.
    """

    layer: str
    sqnr_db: float
    divergence: float
    agreement: float
    top1: float | None


@dataclass(frozen=True)
class Sensitivity:
    """The layers, those that int8 hurts most first; `str()` of it is a table.

    Attributes:
        layers: Sorted by SQNR.
        images: How many images were run.
        float_top1: Top-1 of the float model on them; None without labels.
    """

    layers: tuple[LayerSensitivity, ...]
    images: int
    float_top1: float | None

    def worst(self, count: int) -> list[str]:
        """Names of the layers that int8 hurts most."""
        return [row.layer for row in self.layers[:count]]

    def __str__(self) -> str:
        said = "" if self.float_top1 is None else f", float top-1 {self.float_top1:.2%}"
        lines = [
            f"{len(self.layers)} layers, each alone in int8, on {self.images} images{said}",
            f"{'layer':34} {'SQNR dB':>8} {'KL':>9} {'agreement':>10} {'top-1':>8}",
        ]
        for row in self.layers:
            top1 = "–" if row.top1 is None else f"{row.top1:.2%}"
            lines.append(f"{row.layer:34} {row.sqnr_db:8.1f} {row.divergence:9.1e} {row.agreement:10.2%} {top1:>8}")
        return "\n".join(lines)


def sensitivity(
    model: Any,
    images: Any,
    *,
    limit: int = 64,
    by: str = "layer",
    calibration_method: str = "percentile",
    pixels: Any = None,
) -> Sensitivity:
    """Quantizes one layer at a time and compares the model's output with float.

    Args:
        model: As `convert` takes it: a model of Keras 3 or tf_keras, or the path of a `.keras` file.
        images: Real images, as `convert` takes for calibration; a pair (images, labels) or a pipeline with labels
            gives top-1 too. They serve for calibration and for comparison.
        limit: At most this many, the first ones.
        by: "layer", or "block": all layers of a block ("block_3") at once.
        calibration_method: "minmax", "percentile" or "mse", as in `convert`.
        pixels: As in `convert`.

    Returns:
        The layers, the most sensitive first.

    Raises:
        UserError: As `convert` does.
    """
    from keras_mobilenets.tflite.conversion.float_graph import float_graph, opened
    from keras_mobilenets.tflite.conversion.quantization.calibration import METHODS, calibrate

    for name, given, known in (("by", by, ("layer", "block")), ("calibration_method", calibration_method, METHODS)):
        if given not in known:
            raise UserError(f"{name}={given!r}: choose one of {', '.join(known)}")
    model, _ = opened(model)
    graph = float_graph(model, for_int8=True)
    found = samples(images, limit, graph.inputs, functools.partial(scaling_of, model, pixels), model.name)
    content = graph.content
    if not graph.is_trained:
        content = calibrate(content, found.values, calibration_method, found.ranges)
    return scan(content, found.values, found.labels, by)


def scan(calibrated: bytes, values: Sequence[np.ndarray], labels: Any = None, by: str = "layer") -> Sensitivity:
    """As `sensitivity`, of a float .tflite with ranges in it and an array for each of its inputs."""
    from keras_mobilenets.tflite.conversion.quantization.quantizer import quantized

    calibrated = without_softmax(calibrated)
    groups = groups_of(calibrated, by)
    expected = outputs(calibrated, values)
    rows = []
    for layer, tensors in track(groups.items(), "Quantizing layer by layer", total=len(groups)):
        others = [name for group in groups.values() for name in group if name not in tensors]
        found = outputs(quantized(calibrated, others, float_ends=True), values)
        rows.append(_compare(layer, expected, found, labels))
    top1 = None if labels is None else float((answer(expected) == labels).mean())
    return Sensitivity(tuple(sorted(rows, key=lambda row: row.sqnr_db)), len(values[0]), top1)


def groups_of(content: bytes, by: str) -> dict[str, list[str]]:
    """Names of activations by the layer or block that gives them; what only reshapes belongs to what is before it."""
    graph, last = flatbuffer.read(content).subgraphs[0], ""
    groups: dict[str, list[str]] = {}
    for operator in graph.operators:
        name = graph.tensors[operator.outputs[0]].name.decode()
        layer = layer_names.layers(name)[0]
        block = re.match(r".*?_\d+(?=_)", layer)
        last = block.group() if block and by == "block" else layer
        groups.setdefault(last, []).append(name)
    return groups


def _compare(layer: str, expected: Sequence[np.ndarray], found: Sequence[np.ndarray], labels: Any) -> LayerSensitivity:
    p, q = (np.maximum(softmax(logits(x).astype(np.float64)), 1e-12) for x in (expected, found))
    return LayerSensitivity(
        layer,
        sqnr_db=sqnr_db(expected, found),
        divergence=float((p * np.log(p / q)).sum(axis=1).mean()),
        agreement=float((answer(expected) == answer(found)).mean()),
        top1=None if labels is None else float((answer(found) == labels).mean()),
    )
