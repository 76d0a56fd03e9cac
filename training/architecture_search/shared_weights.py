"""The training of a supernet: first the largest network alone, then with it the smallest and some within the budget.

The sandwich rule and in-place distillation: Yu and Huang 2019, arXiv:1903.05134, section 3; BigNAS, arXiv:2003.11142.
The largest first: Once for All, arXiv:1908.09791, section 3.3.
"""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_mobilenets import files
from keras_mobilenets.errors import UserError
from keras_mobilenets.progress import track
from keras_mobilenets.training.architecture_search.budget import Costs
from keras_mobilenets.training.architecture_search.evolution import draw
from keras_mobilenets.training.architecture_search.space import Genes
from keras_mobilenets.training.architecture_search.supernet import Supernet
from keras_mobilenets.training.datasets.dataset import Data
from keras_mobilenets.training.engine.optimizer import make_optimizer
from keras_mobilenets.training.recipe import Recipe

BETWEEN = 2  # random networks within the budget in a step
ALONE = 0.4  # of the steps, of the largest network alone: slices of random weights learn nothing from each other
VALIDATION = 1000  # images that a network is tried on
BATCH = 250  # of them, whose statistics batch normalization takes


class SharedWeights:
    """A supernet in training, which a kill sets back to its last epoch, and then the estimates by it."""

    def __init__(self, supernet: Supernet, costs: Costs, data: Data, recipe: Recipe, file: Path | None) -> None:
        """Takes what to train; `file` keeps it after every epoch."""
        self.supernet, self._costs, self._data, self._recipe, self._file = supernet, costs, data, recipe, file
        self._optimizer = make_optimizer(recipe, supernet.model, data.steps_per_epoch())
        self._logits = tf.function(supernet.logits)  # one trace for all the networks of a step
        self._step, self._right = tf.function(self._one_step), tf.function(self._count_right)
        self._tried: list[tuple[np.ndarray, np.ndarray]] = []

    def train(self) -> None:
        """Trains the epochs that are missing."""
        first, steps, seed = self._load(), self._data.steps_per_epoch(), self._recipe.seed
        if first >= self._recipe.epochs:
            return
        batches = self._data.epochs(first, self._recipe.epochs, seed, self._recipe.augmentation)
        total = (self._recipe.epochs - first) * steps
        for place, (images, labels) in enumerate(track(batches, "Training the supernet", total=total)):
            number = first * steps + place
            size = self.supernet.space.input_size[number % len(self.supernet.space.input_size)]
            loss = self._step(_resized(images, size), labels, self._choices(number))
            if (place + 1) % steps == 0:
                if not np.isfinite(loss):
                    raise UserError("the supernet's loss became NaN: give a smaller learning rate")
                self._save((number + 1) // steps)

    def accuracy(self, genes: Genes) -> float:
        """The share of validation images that a network with the shared weights gets right."""
        choice, size = tf.constant(self.supernet.choice(genes)), self.supernet.space.spec(genes).input_size
        right = sum(int(self._right(_resized(images, size), labels, choice)) for images, labels in self._images())
        return right / sum(len(labels) for _, labels in self._tried)

    def _images(self) -> list[tuple[np.ndarray, np.ndarray]]:
        if not self._tried:
            images, labels = self._data.images("validation", VALIDATION, seed=0)
            parts = max(1, len(labels) // BATCH)
            scaled = np.array_split(images.astype(np.float32) / 127.5 - 1, parts)
            self._tried = list(zip(scaled, np.array_split(labels, parts), strict=True))
        return self._tried

    def _choices(self, step: int) -> tf.Tensor:
        """The networks of a step: the largest, then the smallest and some at random of those that are asked for."""
        generator, space = np.random.default_rng([self._recipe.seed, step]), self.supernet.space
        if step < ALONE * self._recipe.epochs * self._data.steps_per_epoch():
            return tf.constant(self.supernet.choice(space.largest())[None])
        drawn = [draw(space, self._costs, generator) for _ in range(BETWEEN)]
        genes = (space.largest(), space.smallest(), *filter(None, drawn))
        return tf.constant(np.stack([self.supernet.choice(each) for each in genes]))

    def _one_step(self, images: tf.Tensor, labels: tf.Tensor, choices: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            largest = self._logits(images, choices[0])
            first = loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, largest))
            teacher = tf.stop_gradient(tf.nn.softmax(largest))
            for place in range(1, choices.shape[0]):
                student = self._logits(images, choices[place])
                loss += tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(teacher, student))
        variables = self.supernet.model.trainable_variables
        self._optimizer.apply(tape.gradient(loss, [v.value for v in variables]), variables)
        return first

    def _count_right(self, images: tf.Tensor, labels: tf.Tensor, choice: tf.Tensor) -> tf.Tensor:
        found = tf.argmax(self._logits(images, choice), axis=1)
        return tf.reduce_sum(tf.cast(found == tf.cast(labels, tf.int64), tf.int32))

    def _variables(self) -> list[Any]:
        return [*self.supernet.model.weights, *self._optimizer.variables]

    def _load(self) -> int:
        """Puts back what the file keeps; the epochs that it was trained for."""
        if self._file is None or not self._file.exists():
            return 0
        try:
            with np.load(self._file) as kept:
                for number, variable in enumerate(self._variables()):
                    variable.assign(kept[f"variable_{number}"])
                return int(kept["epochs"])
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise UserError(f"{self._file} is damaged or of another search: delete it to start over") from error

    def _save(self, epochs: int) -> None:
        if self._file is not None:
            kept: dict[str, Any] = {f"variable_{number}": np.array(v) for number, v in enumerate(self._variables())}
            with files.atomic(self._file) as temporary:
                np.savez(temporary, **kept | {"epochs": np.array(epochs)})


def _resized(images: Any, size: int) -> Any:
    return images if images.shape[1] == size else tf.image.resize(images, (size, size), "area")
