"""Differentiable search: the choices of a trained supernet are learned by gradients, their cost in the loss.

Gumbel-softmax samples (arXiv:1611.01144) of independent decisions, as FBNet (arXiv:1812.03443) and FBNetV2
(arXiv:2004.05565) have them.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_mobilenets import files
from keras_mobilenets.errors import UserError
from keras_mobilenets.progress import track
from keras_mobilenets.training.architecture_search.budget import Costs
from keras_mobilenets.training.architecture_search.candidate import History
from keras_mobilenets.training.architecture_search.evolution import draw
from keras_mobilenets.training.architecture_search.expected_cost import ExpectedCost
from keras_mobilenets.training.architecture_search.space import Genes
from keras_mobilenets.training.architecture_search.supernet import Supernet
from keras_mobilenets.training.datasets.dataset import Data

STEPS, RATE = 300, 0.05
WARMEST, COLDEST = 5.0, 0.5  # temperature of the samples, from the first step to the last
PRESSURE = 2.0  # of the logarithm of what the mean cost is over its budget
TRIES = 400  # draws of one temperature


class Choices:
    """The logits of all decisions of a space."""

    def __init__(self, supernet: Supernet, costs: Costs, seed: int, file: Path | None) -> None:
        """Starts even; `file` keeps what was learned.

        Raises:
            UserError: The space has several input sizes, which no mixture has.
        """
        if len(supernet.space.input_size) > 1:
            raise UserError("a differentiable search mixes networks of one input size: give a space with one")
        self._supernet, self._costs, self._seed, self._file = supernet, costs, seed, file
        self._logits = tf.Variable(tf.zeros([supernet.width]))

    def learn(self, data: Data, augmentation: str = "none") -> None:
        """Learns the logits on training images, the shared weights as they are."""
        if self._file is not None and self._file.exists():
            self._logits.assign(files.read_json(self._file))
            return
        epochs = -(-STEPS // data.steps_per_epoch())
        limit, expected = self._costs.limit(), None
        if limit is not None:
            expected = ExpectedCost(self._supernet.space, self._costs.classes, self._costs.price)
        step, optimizer = tf.function(self._gradient(expected, limit)), keras.optimizers.Adam(RATE)
        batches = data.epochs(0, epochs, self._seed + 1, augmentation).take(STEPS)
        for number, (images, labels) in enumerate(track(batches, "Learning the choices", total=STEPS)):
            heat = WARMEST * (COLDEST / WARMEST) ** (number / STEPS)
            noise = np.random.default_rng([self._seed, number]).gumbel(size=self._supernet.width)
            gradient = step(images, labels, tf.constant(noise, tf.float32), tf.constant(heat, tf.float32))
            optimizer.apply_gradients([(gradient, self._logits)])
        if self._file is not None:
            files.write_json(self._file, self._logits.numpy().tolist())

    def log_probability(self, genes: Genes) -> float:
        """The logarithm of the probability that the choices draw a network."""
        parts = self._supernet.weights_of(self._logits).values()
        return sum(float(tf.nn.log_softmax(part)[gene]) for part, gene in zip(parts, genes, strict=True))

    def estimate(self, estimator: Callable[[Genes], dict[str, float]], history: History, count: int) -> None:
        """Draws networks of the learned probabilities within the budget until the history has so many."""
        space = self._supernet.space
        for step in track(range(len(history.rows), count), "Trying the choices"):
            generator, seen = np.random.default_rng([self._seed, step]), {tuple(row["genes"]) for row in history.rows}
            genes = self._draw(generator, seen, first=step == 0) or draw(space, self._costs, generator, seen)
            if genes is None:
                return
            history.add(genes, estimator(genes))

    def _draw(self, generator: np.random.Generator, seen: set[Genes], first: bool) -> Genes | None:
        """A network of the probabilities, which become flatter until one fits; the most probable first."""
        parts = [p.numpy() for p in self._supernet.weights_of(self._logits).values()]
        for heat in (0.0, 1.0, 2.0, 4.0) if first else (1.0, 2.0, 4.0):
            for _ in range(TRIES if heat else 1):
                drawn = tuple(int(np.argmax(p + heat * generator.gumbel(size=len(p)))) for p in parts)
                if drawn not in seen and self._costs.fits(self._supernet.space.spec(drawn)):
                    return drawn
        return None

    def _gradient(self, expected: ExpectedCost | None, limit: float | None) -> Any:
        supernet = self._supernet

        def gradient(images: tf.Tensor, labels: tf.Tensor, noise: tf.Tensor, heat: tf.Tensor) -> tf.Tensor:
            with tf.GradientTape() as tape:
                parts = supernet.weights_of((self._logits + noise) / heat)
                choice = tf.concat([tf.nn.softmax(part) for part in parts.values()], 0)
                logits = supernet.logits(images, choice)
                loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
                if expected is not None and limit is not None:
                    plain = {name: tf.nn.softmax(part) for name, part in supernet.weights_of(self._logits).items()}
                    loss += PRESSURE * tf.nn.relu(tf.math.log(expected(plain) / limit))
            return tape.gradient(loss, self._logits)

        return gradient
