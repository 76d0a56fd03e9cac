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
    """What a training brings down, and the targets that takes.

    Attributes:
        loss: From targets and outputs to a loss for each image.
        accuracy: The metric of that name: "accuracy" itself, or a function of targets and outputs.
        views: Fixed views that each training image is shown in; 0 for new ones in every epoch.
        targets: From training batches, as `Data.epochs` gives them, to batches of (images, targets).
        validation: The same for those of the validation split, as a data set.
        asked: What run.json says of it.
    """

    loss: Any
    accuracy: Any = "accuracy"
    views: int = 0
    targets: Callable[[tf.data.Dataset], Any] = lambda batches: batches
    validation: Callable[[tf.data.Dataset], tf.data.Dataset] = lambda batches: batches
    asked: dict[str, Any] = dataclasses.field(default_factory=dict)


def classification(model: Any, recipe: Recipe, classes: int) -> Objective:
    """The default objective: cross-entropy with the labels, or with shares of classes where the recipe mixes images."""
    if not mixes(recipe.augmentation):
        return Objective(cross_entropy(model, recipe.label_smoothing, classes))

    def rows(images: tf.Tensor, labels: tf.Tensor, *weights: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return images, labels if labels.shape.rank == 2 else tf.one_hot(labels, classes), *weights

    loss = library_of(model).losses.CategoricalCrossentropy(gives_logits(model), recipe.label_smoothing)
    return Objective(loss, targets=lambda batches: batches.map(rows), validation=lambda batches: batches.map(rows))


def cross_entropy(model: Any, smoothing: float = 0.0, classes: int = 0) -> Any:
    """Cross-entropy on integer labels; Keras smooths the labels of one-hot rows only."""
    from_logits = gives_logits(model)
    if not smoothing:
        return library_of(model).losses.SparseCategoricalCrossentropy(from_logits=from_logits)

    def smoothed_crossentropy(labels: Any, outputs: Any) -> Any:
        one_hot = keras.ops.one_hot(keras.ops.reshape(labels, [-1]), classes)
        return keras.losses.categorical_crossentropy(one_hot, outputs, from_logits, smoothing)

    return smoothed_crossentropy
