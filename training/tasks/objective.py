"""Training objectives: the loss, its targets and the metric."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

ALTERNATIVES = ("distillation", "transfer")  # keys of run.json that name an objective other than the task's own


@dataclass(frozen=True)
class Objective:
    """A loss to minimize, the targets it needs, and the metric.

    Attributes:
        loss: Function of targets and outputs: a loss per image.
        accuracy: The metric beside the loss: "accuracy", or a function of targets and outputs; None for the loss alone.
        views: Number of fixed augmented views of each training image; 0 for a new augmentation in every epoch.
        targets: Maps training batches, as from `Data.epochs`, to batches of (images, targets).
        validation: The same for batches of the validation split, as a `tf.data.Dataset`.
        settings: Its settings, for run.json.
        monitor: The figure of an epoch that says which is the best: the highest, or the lowest of "val_loss".
    """

    loss: Any
    accuracy: Any = "accuracy"
    views: int = 0
    targets: Callable[[tf.data.Dataset], Any] = lambda batches: batches
    validation: Callable[[tf.data.Dataset], tf.data.Dataset] = lambda batches: batches
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    monitor: str = "val_accuracy"

    @property
    def metrics(self) -> list[Any]:
        """The metrics of `compile`."""
        return [] if self.accuracy is None else [self.accuracy]
