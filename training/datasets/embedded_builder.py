"""What the data sets that are made on this machine have in common, as builders of TensorFlow Datasets."""

import abc
import contextlib
import dataclasses
import inspect
import io
from collections.abc import Iterator
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from keras_mobilenets.progress import track


@dataclasses.dataclass(kw_only=True)
class Sizes(tfds.core.BuilderConfig):
    """How many examples of each split to make, and from which seed; give a changed one a name of its own."""

    train: int
    validation: int
    test: int
    seed: int = 2017  # the year of the MobileNets


class Embedded(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]  # of its metaclass
    """A builder that needs no download and shows one bar of its own.

    `_features` says what an example holds, the label last; `_examples` makes so many of a split, by the seed and the
    number of the split.
    """

    SIZES: ClassVar[Sizes]  # where none are given
    SPLITS = ("train", "validation", "test")
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012

    def download_and_prepare(self, **options: Any) -> None:
        """Makes and stores the data set unless it is there; an interrupted run leaves nothing and starts over.

        Args:
            **options: As for every TFDS builder. TFDS' announcement of a download and its bars, three deep and drawn
                even into files, give way to one bar.
        """
        tfds.disable_progress_bar()
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                super().download_and_prepare(**options)
        finally:
            tfds.enable_progress_bar()

    def _info(self) -> tfds.core.DatasetInfo:
        features = self._features()
        return tfds.core.DatasetInfo(
            builder=self,
            description=inspect.cleandoc(type(self).__doc__ or ""),
            features=tfds.features.FeaturesDict(features),
            supervised_keys=tuple(features) if "label" in features else None,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        sizes = self.builder_config or self.SIZES
        return {
            split: self._generate_examples(split, sizes.seed, number, getattr(sizes, split))
            for number, split in enumerate(self.SPLITS)
        }

    def _generate_examples(
        self, split: str, seed: int, number: int, count: int
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        yield from enumerate(track(self._examples(seed, number, count), f"making {self.name}, {split}", count))

    @abc.abstractmethod
    def _features(self) -> dict[str, Any]:
        """The features of an example by name."""

    @abc.abstractmethod
    def _examples(self, seed: int, split: int, count: int) -> Iterator[dict[str, Any]]:
        """The first examples of a split."""
