"""What the examples of a data set are: all that `Data`, training and conversion ask of images, recordings or others."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from keras_mobilenets.errors import UserError
from keras_mobilenets.pixels.folder_layout import FileType

Reader = Callable[..., np.ndarray]  # of a file's path
Change = Callable[[float | None, tf.Tensor, tf.Tensor], tf.Tensor]  # of a strength, float32 examples and a seed


class Kind(ABC):
    """A kind of examples.

    They are held as integers, are augmented, and become float32 in [−1, 1], or stay numbers of items; a scaling says
    what a model makes of these: pixels of another range, features of a waveform.

    Attributes:
        noun: What one of them is called.
        files: Their files, where they have some.
        record: The class of `tfds.features` that has them.
        shape: That of an example as it is held.
        dtype: Likewise.
        scaling: What a model is given that says nothing else.
        mixing: Parts of an augmentation that blend examples.
        has_pictures: Whether examples can be looked at.
    """

    noun: ClassVar[str]
    files: FileType
    record: ClassVar[str]
    dtype: ClassVar[np.dtype]
    scaling: Any
    mixing: ClassVar[tuple[str, ...]] = ("mixup", "cutmix")
    has_pictures: ClassVar[bool] = True
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """What `load_data` was asked for: height and width, or a length."""
        return self.shape[0]

    @property
    def bytes(self) -> int:
        """Of one example."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    @property
    def options(self) -> dict[str, Any]:
        """What `load_data` was given beside the size, where that is not the usual."""
        return {}

    def reader(self, name: str, files: Sequence[str]) -> Reader:
        """What reads a file of a data set, which has that name and these training files, into `shape` and `dtype`."""
        raise self._no_files()

    def why_unreadable(self, error: Exception) -> str:
        """The message for an error of the reader."""
        raise self._no_files()

    def fitted(self, feature: Any) -> Callable[[np.ndarray], np.ndarray]:
        """What fits an example as `tfds` decodes that feature to `shape` and `dtype`."""
        raise self._no_files()

    def _no_files(self) -> UserError:
        return UserError(f"{self.noun}s are not files of their own; give a log of them")

    def source(self, name: Path) -> Path:
        """The part of a file's name that chooses its split: files that have it in common come into one."""
        return name

    @property
    @abstractmethod
    def parts(self) -> Mapping[str, Change]:
        """The parts of an augmentation that change single examples, by their names in `Recipe`."""

    @abstractmethod
    def scale(self, examples: tf.Tensor) -> tf.Tensor:
        """Examples as they are held, or as floats of that range, as float32 in [−1, 1]; numbers of items as int32."""

    @abstractmethod
    def light(self, examples: tf.Tensor, seed: tf.Tensor, shard: tuple[int, int] = (0, 1)) -> tf.Tensor:
        """The usual augmentation and `scale` in one; a shard of a batch as within the whole batch."""

    def resized(self, examples: tf.Tensor, size: int) -> tf.Tensor:
        """Examples as they are held in another size.

        Raises:
            UserError: They have one size.
        """
        raise UserError(f"{self.noun}s are of one size; give stages=1")

    @abstractmethod
    def scaling_for(self, model: Any) -> Any:
        """The scaling that a model asks for; None where it says nothing."""

    @abstractmethod
    def described(self, scaling: Any) -> dict[str, Any]:
        """What run.json says of the input of a model of that scaling."""

    def scaling_of(self, described: Mapping[str, Any]) -> Any:
        """The scaling that `described` tells, where it tells all of it."""
        return self.scaling

    @abstractmethod
    def values(self, examples: tf.Tensor, scaling: Any) -> tf.Tensor:
        """float32 examples in [−1, 1] as a model of that scaling takes them."""

    @abstractmethod
    def inputs(self, examples: np.ndarray, scaling: Any) -> np.ndarray:
        """Examples as they are held as `tflite.convert` and `tflite.evaluate` take them."""

    def pictures(self, inputs: np.ndarray, scaling: Any) -> np.ndarray:
        """What a model, or `inputs`, is given, as uint8 N×H×W×3 to look at, where the kind has pictures.

        Raises:
            UserError: It has none.
        """
        raise UserError(f"{self.noun}s cannot be looked at")

    def input_shape(self, scaling: Any) -> tuple[int, ...]:
        """That of what a model of that scaling is given."""
        return self.shape
