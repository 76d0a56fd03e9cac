"""What the data sets that are made on this machine have in common, as builders of TensorFlow Datasets."""

import contextlib
import io
from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds


class Embedded(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]  # of its metaclass
    """A builder that needs no download and shows one bar of its own; `_generate_examples` draws a split."""

    SPLITS = ("train", "validation", "test")

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

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        return {split: self._generate_examples(split) for split in self.SPLITS}
