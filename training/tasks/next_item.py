"""The item that comes next: a label is its number, and an answer a score for every item."""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from keras import ops

from keras_mobilenets.errors import UserError
from keras_mobilenets.training.evaluation.ranking import gains, ranks
from keras_mobilenets.training.introspection import shape_text
from keras_mobilenets.training.recipe import Recipe
from keras_mobilenets.training.tasks.classification import Classification
from keras_mobilenets.training.tasks.objective import Objective


class NextItem(Classification):
    """One item of many; cross-entropy over all of them, and how far in front it is ranked."""

    name: ClassVar[str] = "next_item"
    mixes: ClassVar[bool] = False
    metric: ClassVar[str] = "ndcg10"

    def check(self, model: Any, data: str) -> None:
        """One score for each item."""
        items, output = len(self.class_names), tuple(model.output_shape[1:])
        if output != (items,):
            raise UserError(
                f"the model has output {shape_text(output)} but {data} has {items} items; build it with classes={items}"
            )

    def objective(self, model: Any, recipe: Recipe, weights: np.ndarray | None = None) -> Objective:
        """Cross-entropy; the best epoch has the highest NDCG@10."""
        objective = super().objective(model, recipe, weights)
        return dataclasses.replace(objective, accuracy=ndcg10, monitor=f"val_{self.metric}")

    def hits(self, rows: Any, logits: Any) -> Any:
        """NDCG@10."""
        return ndcg10(rows, logits)

    def examine_into(self, run_dir: str | Path, model: Any, data: Any, again: bool = False) -> Any:
        """None, and no file: a confusion matrix of so many items says little."""
        return None


def ndcg10(labels: Any, outputs: Any) -> Any:
    """NDCG@10 of each example, by its label or by a one-hot row."""
    are_rows = len(labels.shape) == 2 and labels.shape[1] != 1
    labels = ops.argmax(labels, -1) if are_rows else ops.reshape(labels, [-1])
    return gains(ranks(outputs, ops.cast(labels, "int32"), ops), ops)
