"""Whether an exported file answers as the .tflite that it was made of: asked before the file is kept."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.pixels.batches import to_input
from keras_mobilenets.pixels.scaling import MINUS_ONE_TO_ONE
from keras_mobilenets.tflite.runtime.exported_model import ExportedModel
from keras_mobilenets.tflite.runtime.interpreter import open_model
from keras_mobilenets.tflite.runtime.model import load

FLOAT = 1e-4  # largest difference of a float output, or of its share where outputs are above 1
LEVELS = 1  # largest difference of an int8 output, in its 256 levels
IMAGES = 8


@dataclass(frozen=True)
class Agreement:
    """How far two runtimes differ on the same images.

    Attributes:
        difference: Largest difference of an output: in levels where outputs are integers, else as they are.
        allowed: What rounding explains.
        images: How many images were run.
    """

    difference: float
    allowed: float
    images: int

    @property
    def ok(self) -> bool:
        """Whether rounding explains the difference."""
        return self.difference <= self.allowed


def noise_images(shape: tuple[int, ...], count: int = IMAGES) -> np.ndarray:
    """Images of coloured noise, N×H×W×C uint8, no two alike in tone."""
    rng = np.random.default_rng(0)
    tones = rng.uniform(0, 255, (count, 1, 1, shape[-1])) + rng.normal(0, 40, (count, *shape[1:]))
    return np.clip(tones, 0, 255).astype(np.uint8)


def agreement(exported: ExportedModel, source: Path, images: np.ndarray | None = None, keras: Any = None) -> Agreement:
    """Compares an exported file with its .tflite, and with the Keras model that this came from.

    TensorFlow Lite's own kernels round differently: XNNPACK's and the plain ones may differ by several levels behind
    a deep network. So much is allowed to the exported file too, at most and in the mean of squares; one level always.

    Args:
        exported: The file, open.
        source: The .tflite.
        images: Images N×H×W×C, uint8; noise when not given.
        keras: A float model's Keras model, whose answers are compared too; None for none.

    Raises:
        UserError: The images do not fit.
    """
    reference = open_model(source)
    end = reference.input
    pixels = noise_images(tuple(end["shape"])) if images is None else np.asarray(images)
    scaling = exported.record.scaling or MINUS_ONE_TO_ONE
    values = [value[None] for value in to_input(pixels, scaling, end["dtype"], end["quantization"], source)]
    mine = _answers(exported, values)
    theirs = [_answers(reference, values)]
    if np.dtype(end["dtype"]).kind == "f" and keras is not None:
        theirs.append(_keras_answers(keras, values))
    difference = max(float(np.abs(mine - other).max()) for other in theirs)
    if np.dtype(reference.output["dtype"]).kind == "f":
        return Agreement(difference, FLOAT * max(1.0, float(np.abs(theirs[0]).max())), len(values))
    allowed: float = LEVELS
    if difference > LEVELS:
        spread = _answers(load(source, delegate=False), values) - theirs[0]
        if np.square(mine - theirs[0]).mean() <= np.square(spread).mean():
            allowed = max(LEVELS, float(np.abs(spread).max()))
    return Agreement(difference, allowed, len(values))


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


def check_batch(path: Path, source: Any, layout: str) -> None:
    """Refuses an ONNX file of open batch that answers two images otherwise than each alone.

    Args:
        path: The file.
        source: Its `ExportedModel`, of one image.
        layout: "nhwc" or "nchw".
    """
    images = noise_images(tuple(source.input["shape"]), 3).astype(np.int16)
    dtype = np.dtype(source.input["dtype"])
    values = (
        images / np.float32(127.5) - 1 if dtype.kind == "f" else images - (128 if dtype == np.int8 else 0)
    ).astype(dtype)
    moved = values.transpose(0, 3, 1, 2) if layout == "nchw" else values
    try:
        together = source.session.run(None, {source.input["name"]: np.ascontiguousarray(moved)})[0]
        alone = np.concatenate([source.run(value[None]) for value in values])
        same = together.shape == alone.shape and np.allclose(
            together.astype(float), alone, atol=FLOAT if dtype.kind == "f" else 1
        )
    except Exception:  # ONNX Runtime has a kind for each code
        same = False
    if not same:
        raise UserError(f"{path} cannot take several images at once: its graph moves the batch; export it with batch 1")


def _answers(model: Any, values: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([model.run(value).reshape(1, -1).astype(np.float32) for value in values])


def _keras_answers(model: Any, values: list[np.ndarray]) -> np.ndarray:
    from keras import tree

    given = [tree.pack_sequence_as(model._inputs_struct, [value]) for value in values]
    return np.concatenate([np.asarray(model(each, training=False)) for each in given])
