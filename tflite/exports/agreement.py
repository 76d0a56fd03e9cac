"""Whether an exported file answers as the .tflite that it was made of: asked before the file is kept."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.graphs.input_names import HISTORY
from keras_mobilenets.models.detection.anchors import anchors_of
from keras_mobilenets.models.detection.ssdlite import OUTPUT
from keras_mobilenets.pixels.batches import to_input
from keras_mobilenets.pixels.scaling import MINUS_ONE_TO_ONE, PixelScaling
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.runtime.exported_model import ExportedModel
from keras_mobilenets.tflite.runtime.input_scaling import is_pixels
from keras_mobilenets.tflite.runtime.interpreter import open_model
from keras_mobilenets.tflite.runtime.model import Model, load, noise

FLOAT = 1e-4  # largest difference of a float output, or of its share where outputs are above 1
HALF = 0.1  # the same in float16, whose roundings add up
LEVELS = 1.0  # largest difference of an int8 output, in its 256 levels
ELSEWHERE = 2  # a third kernel may be off on the other side of the first than the second is
EXAMPLES = 8


@dataclass(frozen=True)
class Agreement:
    """How far two runtimes differ on the same examples.

    Attributes:
        difference: Largest difference of an output: in levels where outputs are integers, else as they are.
        allowed: What rounding explains.
        examples: How many were run.
    """

    difference: float
    allowed: float
    examples: int

    @property
    def ok(self) -> bool:
        """Whether rounding explains the difference."""
        return self.difference <= self.allowed


def noise_images(shape: tuple[int, ...], count: int = EXAMPLES) -> np.ndarray:
    """Images of coloured noise, N×H×W×C uint8, or clips of one axis more; no two are alike in tone."""
    rng = np.random.default_rng(0)
    tones = rng.uniform(0, 255, (count, *[1] * (len(shape) - 2), shape[-1])) + rng.normal(0, 40, (count, *shape[1:]))
    return np.clip(tones, 0, 255).astype(np.uint8)


def example_values(
    model: Model | ExportedModel,
    scaling: PixelScaling | None = None,
    images: np.ndarray | None = None,
    count: int = EXAMPLES,
) -> list[np.ndarray]:
    """What the input of an open model takes, one example each, in its own type.

    Args:
        model: The model; it takes images, clips, histories of items, or numbers of another kind, then noise.
        scaling: What pixels mean; −1..1 when not given.
        images: The images themselves, uint8; coloured noise when not given.
        count: How many examples of noise.

    Raises:
        UserError: The images do not fit.
    """
    end, rng = model.input, np.random.default_rng(0)
    shape, dtype = tuple(map(int, end["shape"])), np.dtype(end["dtype"])
    if is_pixels(end["name"], shape):
        pixels = noise_images(shape, count) if images is None else np.asarray(images)
        values = to_input(pixels, scaling or MINUS_ONE_TO_ONE, dtype, end["quantization"], model.path)
        return [value[None] for value in values]
    if images is not None:
        raise UserError(f"{model.path} takes no images: leave them out")
    if end["name"] == HISTORY:
        items = int(np.prod(model.output["shape"]))
        return [rng.integers(0, items + 1, shape).astype(dtype) for _ in range(count)]
    return [noise(rng, shape, dtype) for _ in range(count)]


def agreement(exported: ExportedModel, source: Path, images: np.ndarray | None = None, keras: Any = None) -> Agreement:
    """Compares an exported file with its .tflite, and with the Keras model that this came from.

    TensorFlow Lite's own kernels round differently: XNNPACK's and the plain ones may differ by several levels behind
    a deep network. Twice that is allowed to the exported file, whose roundings fall elsewhere again, at most and in the
    root of the mean of squares; one level, or `FLOAT`, always.

    Args:
        exported: The file, open.
        source: The .tflite.
        images: Images N×H×W×C, uint8; noise when not given.
        keras: A float model's Keras model, whose answers are compared too; None for none.

    Raises:
        UserError: The images do not fit.
    """
    reference = open_model(source)
    values = example_values(reference, exported.record.scaling, images)
    mine = answers_of(exported, values)
    theirs = [answers_of(reference, values)]
    if np.dtype(reference.input["dtype"]).kind == "f" and keras is not None:
        theirs.append(keras_answers(keras, values))
    difference = max(float(np.abs(mine - other).max()) if mine.shape == other.shape else math.inf for other in theirs)
    is_float = any(np.dtype(output["dtype"]).kind == "f" for output in reference.outputs)
    if exported.record.quantization != "int8":
        allowed = FLOAT * max(1.0, float(np.abs(theirs[0]).max()))
    else:
        allowed = max(FLOAT, LEVELS * _level(source, exported.record.detects)) if is_float else LEVELS
    if allowed < difference < math.inf:
        spread = answers_of(load(source, delegate=False), values) - theirs[0]
        if np.square(mine - theirs[0]).mean() <= ELSEWHERE**2 * np.square(spread).mean():
            allowed = max(allowed, ELSEWHERE * float(np.abs(spread).max()))
    return Agreement(difference, allowed, len(values))


def check_half(exported: ExportedModel, source: Path, images: np.ndarray | None = None) -> None:
    """Refuses a file in float16 whose answers are far from those of its float32 .tflite.

    Raises:
        UserError: They are: a value is too large for float16, or NaN came of it.
    """
    found = agreement(exported, source, images)
    allowed = found.allowed * HALF / FLOAT
    if not found.difference <= allowed:
        raise UserError(
            f"in float16 {source} answers differently: by {found.difference:.3g}, where {allowed:.3g} is rounding: "
            "it has values beyond that type; export the int8 file"
        )


def check(exported: ExportedModel, source: Path, images: np.ndarray | None = None, keras: Any = None) -> Agreement:
    """As `agreement`.

    Raises:
        UserError: They differ by more than rounding explains.
    """
    found = agreement(exported, source, images, keras)
    if not found.ok:
        raise UserError(
            f"{exported.backend} answers {source} differently: by {found.difference:.3g}, where {found.allowed:.3g} is "
            "rounding; nothing was written. Convert it for another target and export that"
        )
    return found


def check_batch(path: Path, exported: ExportedModel) -> None:
    """Refuses an ONNX file of open batch that answers several examples otherwise than each alone.

    Args:
        path: The file's name, for the message.
        exported: The file, open.
    """
    values = example_values(exported, exported.record.scaling, count=3)
    alone = answers_of(exported, values)
    is_float = any(np.dtype(output["dtype"]).kind == "f" for output in exported.outputs)
    tolerance = FLOAT if is_float else LEVELS
    try:
        together = _rows(exported.run_batch(np.concatenate(values)), len(values))
        same = together.shape == alone.shape and np.allclose(together, alone, atol=tolerance)
    except Exception:  # ONNX Runtime has a kind for each code
        same = False
    if not same:
        raise UserError(f"{path} cannot take several images at once: its graph moves the batch; export it with batch 1")


def _level(source: Path, detects: bool) -> float:
    """A step of what is int8 in front of a float output; 0 where nothing is.

    Of a detector, what a step of an offset or a logit moves a corner or a score by, at most: softmax a quarter of it.
    """
    model = flatbuffer.read(source.read_bytes(), source)
    graph, outputs = flatbuffer.Graph(model), {*map(int, model.subgraphs[0].outputs)}
    for operator in reversed(graph.operators):
        if graph.name(operator) == "DEQUANTIZE" and (detects or outputs.intersection(map(int, operator.outputs))):
            scales, _ = flatbuffer.scales(graph.tensors[operator.inputs[0]])
            return scales[0] / (4 if detects else 1)
    return 0.0


def answers_of(model: Model | ExportedModel, values: list[np.ndarray]) -> np.ndarray:
    """What an open model answers to each value, all its outputs in one row: float32 N×numbers."""
    rows = []
    for value in values:
        model.feed(value)
        model.invoke()
        rows.append(_rows(model.read_outputs(), 1))
    return np.concatenate(rows)


def _rows(outputs: list[np.ndarray], count: int) -> np.ndarray:
    return np.concatenate([np.asarray(output, np.float32).reshape(count, -1) for output in outputs], axis=1)


def keras_answers(model: Any, values: list[np.ndarray]) -> np.ndarray:
    """What a Keras model answers to each value, as its exported file does: of a detector, boxes and scores."""
    from keras import tree

    from keras_mobilenets.training.tasks.detection.suppression import boxes_and_scores

    structure = getattr(model, "_inputs_struct", None)  # a Sequential model has none
    given = [value if structure is None else tree.pack_sequence_as(structure, [value]) for value in values]
    each_answer = [[np.asarray(x) for x in tree.flatten(model(each, training=False))] for each in given]
    if OUTPUT not in {layer.name for layer in model.layers}:
        return np.concatenate([_rows(outputs, 1) for outputs in each_answer])
    answers = np.concatenate([output for (output,) in each_answer])
    return _rows([*boxes_and_scores(answers, anchors_of(model))], len(values))
