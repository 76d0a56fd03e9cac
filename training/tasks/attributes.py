"""Several labels an example, each there or not, whatever the others are: a label is a row of 0 and 1."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_mobilenets.errors import UserError
from keras_mobilenets.training.evaluation.attribute_examination import TASK, examine_attributes_into
from keras_mobilenets.training.introspection import gives_logits, output_activation, shape_text
from keras_mobilenets.training.recipe import Recipe
from keras_mobilenets.training.tasks.class_weights import balanced
from keras_mobilenets.training.tasks.objective import Objective
from keras_mobilenets.training.tasks.task import Task

MONITOR = "val_loss"  # says more of rare labels than the share of labels that are right


class Attributes(Task):
    """Independent labels; a sigmoid for each, binary cross-entropy, average precision and F1."""

    name = TASK
    dtype = np.dtype(np.int8)

    def __init__(self, class_names: Sequence[str]):
        """Takes the names of the labels."""
        super().__init__(class_names)
        self.shape = (len(self.class_names),)

    @property
    def head(self) -> dict[str, Any]:
        """A sigmoid for each label."""
        return super().head | {"classifier_activation": "sigmoid"}

    def missing(self, labels: np.ndarray) -> set[int]:
        """The labels that no example has."""
        return set(np.flatnonzero(~labels.any(axis=0)).tolist())

    def soft(self, labels: tf.Tensor) -> tf.Tensor:
        """The rows as floats."""
        return tf.cast(labels, tf.float32)

    def caption(self, label: np.ndarray) -> str:
        """The labels that are there; those of a blend with their shares."""
        shares = np.asarray(label, np.float32)
        there = [int(place) for place in np.argsort(-shares, kind="stable") if shares[place] >= 0.005]
        if not there:
            return "none"
        words = [self.class_names[p] if shares[p] >= 1 else f"{shares[p]:.0%} {self.class_names[p]}" for p in there]
        return " + ".join(words)

    def check(self, model: Any, data: str) -> None:
        """One number for each label, and no softmax, which would make them share."""
        labels = len(self.class_names)
        if tuple(model.output_shape[1:]) != self.shape:
            raise UserError(
                f"the model has output {shape_text(model.output_shape[1:])} but {data} has {labels} labels; "
                f'build it with classes={labels}, classifier_activation="sigmoid"'
            )
        if output_activation(model) == "softmax":
            raise UserError(
                f"{data} has several labels an image and the model ends in a softmax, which gives one; "
                'build it with classifier_activation="sigmoid"'
            )

    def balanced_weights(self, labels: np.ndarray) -> np.ndarray:
        """float32 2×C: of a label that is not there, and of one that is; both count alike in the sum."""
        there = labels.sum(axis=0, dtype=np.int64)
        return balanced(np.stack([len(labels) - there, there]))

    def objective(self, model: Any, recipe: Recipe, weights: np.ndarray | None = None) -> Objective:
        """Binary cross-entropy, the mean over the labels; the share of labels that are right beside it."""
        from_logits, smoothing = gives_logits(model), recipe.label_smoothing

        def loss(labels: Any, outputs: Any) -> Any:
            return binary_crossentropy(ops.cast(labels, "float32"), outputs, from_logits, smoothing, weights)

        def accuracy(labels: Any, outputs: Any) -> Any:
            return _right(ops.cast(labels, "float32"), outputs, 0.0 if from_logits else 0.5)

        return Objective(loss, accuracy, monitor=MONITOR)

    def are_probabilities(self, outputs: np.ndarray) -> bool:
        """They lie between 0 and 1."""
        return bool((outputs >= 0).all() and (outputs <= 1).all())

    def logits(self, probabilities: Any, library: Any) -> Any:
        """Their log-odds."""
        epsilon = keras.config.epsilon()
        p = library.minimum(library.maximum(probabilities, epsilon), 1 - epsilon)
        return library.log(p) - library.log(1 - p)

    def hard_loss(self, rows: Any, logits: Any, weights: np.ndarray | None = None) -> Any:
        """Binary cross-entropy, the mean over the labels."""
        return binary_crossentropy(rows, logits, from_logits=True, weights=weights)

    def divergence(self, teacher: Any, student: Any) -> Any:
        """Of the labels' Bernoulli distributions, the mean over them."""
        p = ops.sigmoid(teacher)
        entropy = ops.binary_crossentropy(p, teacher, from_logits=True)
        return ops.mean(ops.binary_crossentropy(p, student, from_logits=True) - entropy, axis=-1)

    def hits(self, rows: Any, logits: Any) -> Any:
        """The share of labels that are right."""
        return _right(rows, logits, 0.0)

    def examine_into(self, run_dir: str | Path, model: Any, data: Any, again: bool = False) -> Any:
        """Average precision and F1 of each label, and the labels that the model is most confidently wrong about."""
        return examine_attributes_into(run_dir, model, data, again)


def binary_crossentropy(
    rows: Any, outputs: Any, from_logits: bool, smoothing: float = 0.0, weights: np.ndarray | None = None
) -> Any:
    """The mean over the labels of each example.

    Args:
        rows: float N×C, 0 to 1: the labels.
        outputs: N×C, probabilities or logits.
        from_logits: Which of them they are.
        smoothing: Label smoothing, 0 to below 1.
        weights: 2×C: of labels that are not there, and of those that are; None where all count alike.
    """
    each = ops.binary_crossentropy(rows * (1 - smoothing) + smoothing / 2, outputs, from_logits)
    if weights is not None:
        absent, present = map(ops.convert_to_tensor, weights)
        each = each * (absent * (1 - rows) + present * rows)
    return ops.mean(each, axis=-1)


def _right(rows: Any, outputs: Any, threshold: float) -> Any:
    return ops.mean(ops.cast(ops.equal(rows >= 0.5, outputs >= threshold), "float32"), axis=-1)
