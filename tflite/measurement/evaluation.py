"""How good a model's answers are: top-1, average precision of several labels, ranks; how far two models' differ."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.plurals import count
from keras_mobilenets.training.evaluation import precision_recall, ranking


@dataclass(frozen=True)
class Evaluation:
    """What a model said about a set of images.

    Attributes:
        top1: Share of the images whose highest output is their label, 0..1; None without labels, or with several.
        top5: Share whose label is among the five highest; None without labels or with five classes or fewer.
        images: How many images were run.
        predictions: images×classes float32 outputs, dequantized (probabilities if the model ends in a softmax).
        labels: int64 class numbers, or rows of 0 and 1, images×classes, of several labels an image; or None.
        on: The target it was run on; "cpu" by default.
        agreement: Share of the images (0..1) on which the target names the class that the CPU does; of several labels
            an image, the share of these of which it says the same; None on the CPU.
        max_difference: Largest absolute difference between an output of the target and of the CPU; None on the CPU.
        average_precision: Of several labels an image, that of each: float64 classes, NaN where no image has it.
        f1: Likewise, at an output of 0.5.
        ranks: Of a recommender, the rank of what came next among all items, from 1: float images.
    """

    top1: float | None
    top5: float | None
    images: int
    predictions: np.ndarray
    labels: np.ndarray | None
    on: str = "cpu"
    agreement: float | None = None
    max_difference: float | None = None
    average_precision: np.ndarray | None = None
    f1: np.ndarray | None = None
    ranks: np.ndarray | None = None

    @property
    def figures(self) -> dict[str, float | None]:
        """What a row of results.json says of it."""
        if self.average_precision is not None and self.f1 is not None:
            return {"map": precision_recall.mean(self.average_precision), "f1": precision_recall.mean(self.f1)}
        if self.ranks is not None:
            return {"ndcg10": float(ranking.gains(self.ranks).mean()), "hr10": ranking.hit_rate(self.ranks)}
        return {} if self.top1 is None else {"top1": self.top1}

    def per_class(self, names: Sequence[str]) -> dict[str, dict[str, float | None]] | None:
        """Average precision and F1 of each of several labels, as results.json has them; None of one label."""
        if self.average_precision is None or self.f1 is None:
            return None
        columns = (self.average_precision.tolist(), self.f1.tolist())
        return {
            name: {
                key: None if math.isnan(value) else value for key, value in (("average_precision", area), ("f1", f1))
            }
            for name, area, f1 in zip(names, *columns, strict=True)
        }

    def __str__(self) -> str:
        figures = self.figures
        shares = (
            ("top-1", self.top1),
            ("top-5", self.top5),
            ("mAP", figures.get("map")),
            ("F1", figures.get("f1")),
            ("NDCG@10", figures.get("ndcg10")),
            ("HR@10", figures.get("hr10")),
            ("same class as on the CPU", self.agreement),
        )
        parts = [f"{name} {share:.2%}" for name, share in shares if share is not None]
        if self.max_difference is not None:
            parts.append(f"largest difference {self.max_difference:.3g}")
        where = "" if self.on == "cpu" else f"on {self.on}: "
        return f"{where}{', '.join(parts) or 'run'} on {count(self.images, 'image')}"


def score(predictions: np.ndarray, labels: np.ndarray | None, *, ranked: bool = False) -> Evaluation:
    """Scores outputs against labels, whichever runtime they came from.

    Args:
        predictions: images×classes, float.
        labels: Class numbers, or rows of 0 and 1, images×classes, where an image has several; or None.
        ranked: Whether outputs are scores of items, of which the first ten count.

    Returns:
        The `Evaluation`; equal outputs count in the order of the classes.

    Raises:
        UserError: A label is not one of the model's classes, or the numbers of labels and images differ.
    """
    predictions = np.asarray(predictions, np.float32)
    if labels is None:
        return Evaluation(None, None, len(predictions), predictions, None)
    labels, classes = np.asarray(labels, np.int64), predictions.shape[1]
    if len(labels) != len(predictions):
        raise UserError(f"{len(predictions)} images come with {len(labels)} labels; give one label for each image")
    if labels.ndim == 2:
        return _score_several(predictions, labels)
    if labels.min() < 0 or labels.max() >= classes:
        raise UserError(f"labels run from {labels.min()} to {labels.max()} but the model has {classes} classes (0..)")
    if ranked:
        found = ranking.ranks(predictions, labels)
        return Evaluation(None, None, len(predictions), predictions, labels, ranks=found)
    hits = np.argsort(-predictions, axis=1, kind="stable")[:, :5] == labels[:, None]
    top5 = float(hits.any(axis=1).mean()) if classes > 5 else None
    return Evaluation(float(hits[:, 0].mean()), top5, len(predictions), predictions, labels)


def agreement(one: Any, other: Any) -> float:
    """Share of the images (0..1) on which two models name the same class; of evaluations of several labels, of these.

    Args:
        one: An `Evaluation`, or images×classes outputs such as `model.predict` gives.
        other: Likewise, on the same images in the same order.
    """
    first, second = _outputs(one, other)
    if isinstance(one, Evaluation) and one.f1 is not None:
        return float(((first >= _threshold(first)) == (second >= _threshold(second))).mean())
    return float((first.argmax(axis=1) == second.argmax(axis=1)).mean())


def max_abs_err(one: Any, other: Any) -> float:
    """Largest absolute difference between two models' outputs (arguments as in `agreement`)."""
    first, second = _outputs(one, other)
    return float(np.abs(first - second).max())


def _score_several(predictions: np.ndarray, labels: np.ndarray) -> Evaluation:
    if labels.shape != predictions.shape:
        raise UserError(
            f"each image has {labels.shape[1]} labels but the model has {predictions.shape[1]} outputs; give its own"
        )
    return Evaluation(
        None,
        None,
        len(predictions),
        predictions,
        labels,
        average_precision=precision_recall.average_precision(predictions, labels),
        f1=precision_recall.f1(predictions, labels, _threshold(predictions)),
    )


def _threshold(predictions: np.ndarray) -> float:
    """The output from which on a label is there: 0.5 of probabilities, 0 of logits."""
    return precision_recall.THRESHOLD if predictions.min() >= 0 and predictions.max() <= 1 else 0.0


def _outputs(one: Any, other: Any) -> tuple[np.ndarray, np.ndarray]:
    first, second = (np.asarray(x.predictions if isinstance(x, Evaluation) else x, np.float32) for x in (one, other))
    if first.shape != second.shape:
        raise UserError(f"outputs of shapes {first.shape} and {second.shape} differ; compare them on the same images")
    return first, second
