"""predictions.npz: test images and what each model said of them, kept for the report's grid of pictures."""

import base64
import io
import itertools
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.files import atomic
from keras_mobilenets.pixels.batches import to_pixels
from keras_mobilenets.training.evaluation.precision_recall import THRESHOLD
from keras_mobilenets.weights.imagenet_classes import softmax

SHOWN = 20  # images in the grid
LARGE = 96  # pixels a side, above which a PNG would make a page of megabytes


def save_predictions(
    path: str | Path,
    images: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    predictions: Mapping[str, np.ndarray],
) -> Path:
    """Keeps test images and what each model said of them, for the report's grid.

    Args:
        path: predictions.npz in the run folder.
        images: N×h×w×3, pixels 0..255 or floats scaled to [−1, 1]; stored as uint8.
        labels: N class numbers, or N×C of 0 and 1 where an image has several.
        class_names: The name of each class.
        predictions: For each model, by the stem of its file, N×classes outputs.

    Returns:
        The path.

    Raises:
        UserError: The shapes do not go together, or the file cannot be written.
    """
    images = np.asarray(images)
    content: dict[str, Any] = {
        "images": to_pixels(images) if images.dtype.kind == "f" else images.clip(0, 255).astype(np.uint8),
        "labels": np.asarray(labels, np.int64),
        "class_names": np.asarray(class_names, np.str_),
    }
    content |= {f"pred_{stem}": np.asarray(values, np.float32) for stem, values in predictions.items()}
    _check_predictions(content, path)
    with atomic(path) as temporary:
        np.savez_compressed(temporary, allow_pickle=False, **content)
    return Path(path)


def read_predictions(path: Path) -> dict[str, np.ndarray]:
    """Reads a predictions.npz; nothing in it is ever unpickled.

    Raises:
        UserError: It is damaged, or its parts do not go together.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            content = dict(file)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is damaged: {error}; evaluate again") from error
    _check_predictions(content, path)
    return content


def grid(content: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Test images with what each model said: first those the models differ on, then those all get wrong."""
    names, labels = [str(name) for name in content["class_names"]], content["labels"]
    stems = [name.removeprefix("pred_") for name in content if name.startswith("pred_")]
    shared = shared_start(stems)
    answers = _several if labels.ndim == 2 else _one
    truth = [_words(names, label) for label in labels]
    outputs = {stem.removeprefix(shared): answers(content[f"pred_{stem}"]) for stem in stems}
    said = np.stack([each for each, _ in outputs.values()]) if outputs else np.empty((0, *labels.shape), int)
    labelwise = tuple(range(2, said.ndim))
    differ = (said != said[:1]).any(axis=(0, *labelwise))
    wrong = (said != labels).any(axis=(0, *labelwise)) & ~differ
    order = np.concatenate([np.flatnonzero(differ)[: SHOWN // 3], np.flatnonzero(wrong)[: SHOWN // 3]])
    rest = np.setdiff1d(np.arange(len(labels)), order)
    right_first = rest[np.argsort((differ | wrong)[rest], kind="stable")]
    order = np.concatenate([order, right_first])[:SHOWN].astype(int)
    cards = [
        {
            "number": int(i),
            "image": picture(content["images"][i]),
            "truth": truth[i],
            "differ": bool(differ[i]),
            "said": [
                {
                    "model": stem,
                    "name": _words(names, each[i]),
                    "share": float(shares[i]),
                    "right": bool((each[i] == labels[i]).all()),
                }
                for stem, (each, shares) in outputs.items()
            ],
        }
        for i in order
    ]
    return {
        "cards": cards,
        "images": len(labels),
        "differ": int(differ.sum()),
        "wrong": int(wrong.sum()),
        "right": [(stem, float((each == labels).mean())) for stem, (each, _) in outputs.items()],
        "several": labels.ndim == 2,
    }


def _one(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The class that a model said of each image, and its probability."""
    shares = _shares(values)
    return shares.argmax(axis=1), shares.max(axis=1)


def _several(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which labels a model said each image has, N×C of 0 and 1, and how sure it was of the one it doubted most."""
    scores = values if values.size and values.min() >= 0 and values.max() <= 1 else 1 / (1 + np.exp(-values))
    said = scores >= THRESHOLD
    return said.astype(int), np.where(said, scores, 1 - scores).min(axis=1)


def _words(names: Sequence[str], label: np.ndarray) -> str:
    if label.ndim == 0:
        return names[int(label)]
    return ", ".join(names[int(number)] for number in np.flatnonzero(label)) or "none"


def picture(image: np.ndarray) -> str:
    """uint8 h×w×3 or h×w×1 as a data: address: exact where it is small, and a good JPEG where it is large."""
    from PIL import Image

    buffer, is_small = io.BytesIO(), image.shape[0] <= LARGE
    how: dict[str, Any] = {"format": "PNG", "optimize": True} if is_small else {"format": "JPEG", "quality": 88}
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, **how)
    return f"data:image/{how['format'].lower()};base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def shared_start(stems: Sequence[str]) -> str:
    """What several names have in common up to an underscore: "v2_" of v2_float32 and v2_qat_int8."""
    if len(stems) < 2:
        return ""
    alike = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(min(stems), max(stems), strict=False))
    common = "".join(letter for letter, _ in alike)
    return common[: common.rfind("_") + 1]


def _check_predictions(content: Mapping[str, np.ndarray], path: str | Path) -> None:
    missing = {"images", "labels", "class_names"} - content.keys()
    if missing:
        raise UserError(f"{path} lacks {', '.join(sorted(missing))}; evaluate again")
    images, labels, classes = content["images"], content["labels"], len(content["class_names"])
    if images.ndim != 4 or images.shape[3] not in (1, 3) or images.dtype != np.uint8:
        raise UserError(f"{path}: images are {images.dtype} {images.shape}; uint8 N×h×w×3 are needed")
    highest = 1 if labels.ndim == 2 else classes - 1
    fits = labels.shape in ((len(images),), (len(images), classes))
    if not fits or (labels.size and not 0 <= labels.min() <= labels.max() <= highest):
        raise UserError(f"{path}: labels do not fit {len(images)} images of {classes} classes")
    for name, values in content.items():
        if name.startswith("pred_") and values.shape != (len(images), classes):
            raise UserError(f"{path}: {name} is {values.shape}; {(len(images), classes)} is needed")


def _shares(values: np.ndarray) -> np.ndarray:
    """Probabilities as they are; logits through a softmax."""
    if values.size and values.min() >= 0 and np.allclose(values.sum(axis=1), 1, atol=0.1):
        return values
    return softmax(values)
