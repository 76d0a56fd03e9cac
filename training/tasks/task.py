"""What the labels of a data set are: all that `Data`, training and evaluation ask of one class, several, or boxes."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from keras_mobilenets.errors import UserError
from keras_mobilenets.training.recipe import Recipe
from keras_mobilenets.training.tasks.objective import Objective

# Of a strength, float32 examples as they are held, their labels and a seed.
Change = Callable[[float | None, tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]

UNREADABLE = -1  # all numbers of the label of an example that could not be decoded


class Task(ABC):
    """A kind of labels, and with them what a model is asked and how its answers are judged.

    Attributes:
        name: What the field calls it.
        class_names: The classes.
        shape: That of a label.
        dtype: Likewise.
        mixes: Whether examples can be blended.
        metric: What `hits` is called.
        parts: Parts of an augmentation that change examples with their labels, in the place of the kind's; where there
            are any, the kind's own are not for such labels.
    """

    name: ClassVar[str]
    shape: tuple[int, ...] = ()
    dtype: np.dtype = np.dtype(np.int64)
    mixes: ClassVar[bool] = True
    metric: ClassVar[str] = "accuracy"

    def __init__(self, class_names: Sequence[str]):
        """Takes the classes."""
        self.class_names = list(class_names)

    @property
    def parts(self) -> Mapping[str, Change]:
        """None: labels stay what they are."""
        return {}

    @property
    def unreadable(self) -> np.ndarray:
        """The label of an example that could not be decoded."""
        return np.full(self.shape, UNREADABLE, self.dtype)

    def readable(self, labels: tf.Tensor) -> tf.Tensor:
        """Which of these labels, or whether this one, belongs to an example that could be decoded."""
        return tf.reduce_any(labels != UNREADABLE, axis=list(range(-len(self.shape), 0)))

    @property
    def head(self) -> dict[str, Any]:
        """The arguments of a builder that give its model the right output."""
        return {"classes": len(self.class_names)}

    @property
    def described(self) -> dict[str, Any]:
        """What run.json says of it."""
        return {"task": self.name}

    @abstractmethod
    def missing(self, labels: np.ndarray) -> set[int]:
        """The classes that none of these labels has."""

    @abstractmethod
    def balanced_weights(self, labels: np.ndarray) -> np.ndarray:
        """The weights of the classes in the loss with which all of these count alike, as `objective` takes them."""

    @abstractmethod
    def soft(self, labels: tf.Tensor) -> tf.Tensor:
        """A batch of labels as float32 N×C, a share of each class; soft ones as they are.

        Raises:
            UserError: They cannot be blended.
        """

    @abstractmethod
    def caption(self, label: np.ndarray) -> str:
        """A label, or a soft one, in words."""

    @abstractmethod
    def check(self, model: Any, data: str) -> None:
        """Refuses a model whose output is not for these labels.

        Args:
            model: A Keras 3 or tf_keras model.
            data: What the data set is called.

        Raises:
            UserError: Its output has another shape.
        """

    @abstractmethod
    def objective(self, model: Any, recipe: Recipe, weights: np.ndarray | None = None) -> Objective:
        """What `fit` minimizes where nothing else is said.

        Args:
            model: The model that trains.
            recipe: How it trains.
            weights: Those of the classes, as `balanced_weights` gives them; None where they count alike.
        """

    def are_probabilities(self, outputs: np.ndarray) -> bool:
        """Whether a model's answers N×C to some images are probabilities; else they are logits."""
        raise self._no_distillation()

    def logits(self, probabilities: Any, library: Any) -> Any:
        """Probabilities as logits, up to what the losses below cancel.

        Args:
            probabilities: N×C.
            library: Has log, maximum and minimum: keras.ops or tf.math.
        """
        raise self._no_distillation()

    def hard_loss(self, rows: Any, logits: Any, weights: np.ndarray | None = None) -> Any:
        """The loss of each example by its soft labels N×C, as `soft` gives them; `weights` as for `objective`."""
        raise self._no_distillation()

    def divergence(self, teacher: Any, student: Any) -> Any:
        """Kullback–Leibler divergence of each example, by logits N×C."""
        raise self._no_distillation()

    def hits(self, rows: Any, logits: Any) -> Any:
        """The accuracy of each example by its soft labels, 0..1, or what `metric` names."""
        raise self._no_distillation()

    def _no_distillation(self) -> UserError:
        return UserError(f"distillation is for class labels, and this is {self.name}: train on the labels alone")

    @abstractmethod
    def examine_into(self, run_dir: str | Path, model: Any, data: Any, again: bool = False) -> Any:
        """Writes into a run folder what the model gets right and wrong on the validation split; as `examine_into`."""
