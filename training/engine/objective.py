"""Training objectives: the loss, its targets and the metric; the default is cross-entropy with the labels."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from keras_mobilenets.training.introspection import gives_logits, library_of
from keras_mobilenets.training.recipe import Recipe, mixes

ALTERNATIVES = ("distillation", "transfer")  # keys of run.json that name an objective other than the default


@dataclass(frozen=True)
class Objective:
    """A loss to minimize, the targets it needs, and the metric.

    Attributes:
        loss: Function of targets and outputs: a loss per image.
        accuracy: The accuracy metric: "accuracy", or a function of targets and outputs.
        views: Number of fixed augmented views of each training image; 0 for a new augmentation in every epoch.
        targets: Maps training batches, as from `Data.epochs`, to batches of (images, targets).
        validation: The same for batches of the validation split, as a `tf.data.Dataset`.
        settings: Its settings, for run.json.
    """

    loss: Any
    accuracy: Any = "accuracy"
    views: int = 0
    targets: Callable[[tf.data.Dataset], Any] = lambda batches: batches
    validation: Callable[[tf.data.Dataset], tf.data.Dataset] = lambda batches: batches
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)


def classification(model: Any, recipe: Recipe, classes: int) -> Objective:
    """The default objective: cross-entropy with the labels, or with soft labels where images are mixed."""
    if not mixes(recipe.augmentation):
        return Objective(cross_entropy(model, recipe.label_smoothing, classes))

    def rows(images: tf.Tensor, labels: tf.Tensor, *weights: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return images, labels if labels.shape.rank == 2 else tf.one_hot(labels, classes), *weights

    loss = library_of(model).losses.CategoricalCrossentropy(gives_logits(model), recipe.label_smoothing)
    return Objective(loss, targets=lambda batches: batches.map(rows), validation=lambda batches: batches.map(rows))


def cross_entropy(model: Any, smoothing: float = 0.0, classes: int = 0) -> Any:
    """Cross-entropy on integer labels; the label smoothing of Keras is for one-hot labels only."""
    from_logits = gives_logits(model)
    if not smoothing:
        return library_of(model).losses.SparseCategoricalCrossentropy(from_logits=from_logits)

    def smoothed_crossentropy(labels: Any, outputs: Any) -> Any:
        one_hot = keras.ops.one_hot(keras.ops.reshape(labels, [-1]), classes)
        return keras.losses.categorical_crossentropy(one_hot, outputs, from_logits, smoothing)

    return smoothed_crossentropy
