"""Clips as the examples of a data set: so many frames, evenly over the whole, each as an image."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image, ImageSequence

from keras_mobilenets.pixels.folder_layout import CLIP, SUFFIXES, FileType
from keras_mobilenets.pixels.image_decoder import squared
from keras_mobilenets.training.datasets import images
from keras_mobilenets.training.datasets.images import Images
from keras_mobilenets.training.datasets.kind import Change, Reader

FRAMES = 8


class Clips(Images):
    """Clips (frames, size, size, 3), held as uint8; a scaling is a `PixelScaling`.

    What an augmentation draws is one for all frames of a clip, and nothing is flipped: that would be another motion.
    """

    noun = "clip"
    files = CLIP
    record = "Video"
    mixing = ()

    def __init__(self, size: int, frames: int = FRAMES, files: FileType = CLIP):
        """Takes height and width in pixels, the number of frames, and what their files are."""
        super().__init__(size)
        self.files = files
        self.shape = (frames, size, size, 3)

    @property
    def size(self) -> int:
        """Height and width."""
        return self.shape[1]

    @property
    def options(self) -> dict[str, Any]:
        """The number of frames."""
        return {} if self.shape[0] == FRAMES else {"frames": self.shape[0]}

    def reader(self, name: str, files: Sequence[str]) -> Reader:
        """Reads an animated GIF or WebP, or a folder of frames in the order of the numbers in their names."""
        return self._read

    def fitted(self, feature: Any) -> Callable[[np.ndarray], np.ndarray]:
        """Takes frames N×H×W×3 of any number and size."""
        return self._fit

    @property
    def parts(self) -> Mapping[str, Change]:
        """Those of images that leave a motion what it is."""
        return {name: partial(_alike, images.PARTS[name]) for name in ("resized_crop", "crop")}

    def light(self, examples: tf.Tensor, seed: tf.Tensor, shard: tuple[int, int] = (0, 1)) -> tf.Tensor:
        """Shifts a clip, and changes its contrast and brightness."""
        change = partial(images.light, shard=shard, flips=False)
        return _of_stacks(lambda stacks: change(stacks, seed), examples)

    def resized(self, examples: tf.Tensor, size: int) -> tf.Tensor:
        """Frame by frame, as images."""
        return _of_stacks(lambda stacks: super(Clips, self).resized(stacks, size), examples)

    def pictures(self, inputs: np.ndarray, scaling: Any) -> np.ndarray:
        """The frames side by side."""
        pixels = super().pictures(inputs, scaling)
        count, frames, height, width, channels = pixels.shape
        return pixels.transpose(0, 2, 1, 3, 4).reshape(count, height, frames * width, channels)

    def _read(self, file: str) -> np.ndarray:
        if Path(file).is_dir():
            return self._read_folder(Path(file))
        with Image.open(file) as animation:
            chosen = self._chosen(getattr(animation, "n_frames", 1))
            frames = {
                number: squared(frame, self.size, whole=False)
                for number, frame in enumerate(ImageSequence.Iterator(animation))
                if number in chosen
            }
            return np.stack([frames[number] for number in chosen])

    def _read_folder(self, folder: Path) -> np.ndarray:
        files = sorted((file for file in folder.iterdir() if _is_frame(file)), key=lambda file: _counted(file.name))
        pixels = []
        for number in self._chosen(len(files)):
            with Image.open(files[number]) as image:
                pixels.append(squared(image, self.size, whole=False))
        return np.stack(pixels)

    def _chosen(self, given: int) -> list[int]:
        """The frames that are read of so many."""
        if given < min(2, self.shape[0]):
            raise ValueError("it is a still image and no clip")
        return _even(given, self.shape[0])

    def _fit(self, frames: np.ndarray) -> np.ndarray:
        chosen = _even(len(frames), self.shape[0])
        return np.stack([squared(frames[number], self.size, whole=False) for number in chosen])


def _is_frame(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES and not file.name.startswith(".")


def _counted(name: str) -> list[tuple[int, str]]:
    """A key that sorts frame_2 before frame_10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _even(given: int, wanted: int) -> list[int]:
    """The numbers of frames that are evenly spread over a clip; of a short one some are shown again."""
    return np.rint(np.linspace(0, given - 1, wanted)).astype(int).tolist()


def _of_stacks(change: Callable[[tf.Tensor], tf.Tensor], clips: tf.Tensor) -> tf.Tensor:
    """Applies a change of images to clips, whose frames are channels of one image for it."""
    _, frames, height, width, channels = clips.shape
    stacks = tf.reshape(tf.transpose(clips, [0, 2, 3, 1, 4]), [-1, height, width, frames * channels])
    changed = change(stacks)
    height, width = changed.shape[1:3]
    return tf.transpose(tf.reshape(changed, [-1, height, width, frames, channels]), [0, 3, 1, 2, 4])


def _alike(change: Change, strength: float | None, clips: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """A change of images that is the same for all frames of a clip."""
    return _of_stacks(lambda stacks: change(strength, stacks, seed), clips)
