"""One class an example: a label is its number."""

from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_mobilenets.errors import UserError
from keras_mobilenets.training.introspection import gives_logits, library_of, shape_text
from keras_mobilenets.training.recipe import Recipe, mixes
from keras_mobilenets.training.tasks.class_weights import balanced, weighted
from keras_mobilenets.training.tasks.objective import Objective
from keras_mobilenets.training.tasks.task import Task


class Classification(Task):
    """One class an example; cross-entropy and accuracy."""

    name: ClassVar[str] = "classification"

    @property
    def described(self) -> dict[str, Any]:
        """Nothing of classification itself: it is what a run is about that says nothing else."""
        return {} if self.name == Classification.name else super().described

    def missing(self, labels: np.ndarray) -> set[int]:
        """The classes without an example."""
        return set(range(len(self.class_names))) - set(labels.tolist())

    def balanced_weights(self, labels: np.ndarray) -> np.ndarray:
        """float32 C."""
        return balanced(np.bincount(labels, minlength=len(self.class_names)))

    def soft(self, labels: tf.Tensor) -> tf.Tensor:
        """Integer labels one-hot."""
        return labels if labels.shape.rank == 2 else tf.one_hot(tf.reshape(labels, [-1]), len(self.class_names))

    def caption(self, label: np.ndarray) -> str:
        """The class; of a soft label the two largest with their shares."""
        if label.ndim == 0:
            return self.class_names[int(label)]
        first = [int(place) for place in np.argsort(-label, kind="stable")[:2] if label[place] >= 0.005]
        if len(first) == 1:
            return self.class_names[first[0]]
        return " + ".join(f"{label[place]:.0%} {self.class_names[place]}" for place in first)

    def check(self, model: Any, data: str) -> None:
        """One number for each class."""
        classes = len(self.class_names)
        if tuple(model.output_shape[1:]) != (classes,):
            raise UserError(
                f"the model has output {shape_text(model.output_shape[1:])} but {data} has {classes} classes; "
                f"build it with classes={classes}"
            )

    def objective(self, model: Any, recipe: Recipe, weights: np.ndarray | None = None) -> Objective:
        """Cross-entropy with the labels, or with soft labels where images are mixed or weighted."""
        if not mixes(recipe.augmentation) and weights is None:
            return Objective(cross_entropy(model, recipe.label_smoothing, len(self.class_names)))

        def rows(images: tf.Tensor, labels: tf.Tensor, *weights: tf.Tensor) -> tuple[tf.Tensor, ...]:
            return images, self.soft(labels), *weights

        loss = library_of(model).losses.CategoricalCrossentropy(gives_logits(model), recipe.label_smoothing)
        loss = loss if weights is None else weighted(loss.call, weights)
        return Objective(loss, targets=lambda batches: batches.map(rows), validation=lambda batches: batches.map(rows))

    def are_probabilities(self, outputs: np.ndarray) -> bool:
        """Those of an example have the sum 1."""
        return bool((outputs >= 0).all() and np.allclose(outputs.sum(axis=1), 1, atol=1e-3))

    def logits(self, probabilities: Any, library: Any) -> Any:
        """Their logarithms, up to a constant, which softmax cancels."""
        return library.log(library.maximum(probabilities, keras.config.epsilon()))

    def hard_loss(self, rows: Any, logits: Any, weights: np.ndarray | None = None) -> Any:
        """Cross-entropy."""

        def loss(rows: Any, logits: Any) -> Any:
            return ops.sum(-rows * ops.log_softmax(logits), axis=1)

        return (loss if weights is None else weighted(loss, weights))(rows, logits)

    def divergence(self, teacher: Any, student: Any) -> Any:
        """Of the softmaxes."""
        return ops.sum(ops.softmax(teacher) * (ops.log_softmax(teacher) - ops.log_softmax(student)), axis=1)

    def hits(self, rows: Any, logits: Any) -> Any:
        """Whether the highest output is the label."""
        return ops.cast(ops.equal(ops.argmax(rows, axis=1), ops.argmax(logits, axis=1)), "float32")

    def examine_into(self, run_dir: str | Path, model: Any, data: Any, again: bool = False) -> Any:
        """The confusion matrix and the most confident mistakes."""
        from keras_mobilenets.training.evaluation.examination import examine_into

        return examine_into(run_dir, model, data, again)


def cross_entropy(model: Any, smoothing: float = 0.0, classes: int = 0) -> Any:
    """Cross-entropy on integer labels; the label smoothing of Keras is for one-hot labels only."""
    from_logits = gives_logits(model)
    if not smoothing:
        return library_of(model).losses.SparseCategoricalCrossentropy(from_logits=from_logits)

    def smoothed_crossentropy(labels: Any, outputs: Any) -> Any:
        one_hot = keras.ops.one_hot(keras.ops.reshape(labels, [-1]), classes)
        return keras.losses.categorical_crossentropy(one_hot, outputs, from_logits, smoothing)

    return smoothed_crossentropy
