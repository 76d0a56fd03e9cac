"""A data set for training: `tf.data` pipelines of batches, reproducible after a resume.

Examples are decoded once and held in memory as integers where they fit, else streamed; what they are, their kind says.
The order of an epoch is a function of (seed, epoch) alone and the randomness of a batch of (seed, step) alone, so that
a training can resume anywhere.
"""

import copy
import hashlib
import warnings
from typing import Any

import numpy as np
import tensorflow as tf

from keras_mobilenets.errors import UserError
from keras_mobilenets.progress import track
from keras_mobilenets.training.datasets import augmentation as augment
from keras_mobilenets.training.datasets.kind import Kind
from keras_mobilenets.training.datasets.split import Selection, Split, permutation, select_all
from keras_mobilenets.training.recipe import Recipe
from keras_mobilenets.training.tasks.task import Task

MEMORY_LIMIT = 2 * 2**30  # bytes of examples as they are held, all splits together


class Data:
    """A data set with three splits: "train", "validation" and "test".

    Attributes:
        name: The name it was loaded by.
        task: What the labels are: `Classification`, `Attributes`, `Detection`, `NextItem`.
        class_names: The classes of the task.
        kind: What the examples are: `Images`, `Recordings`, `Clips`, `Sequences`.
        batch_size: Examples per batch.
        scaling: What the values of a batch mean; of images a `PixelScaling`.
    """

    def __init__(self, name: str, task: Task, splits: dict[str, Split], kind: Kind, batch_size: int):
        """Takes the splits; use `load_data` to make one."""
        self.name = name
        self.task = task
        self.class_names = task.class_names
        self.kind = kind
        self.batch_size = batch_size
        self._splits = splits
        self.scaling = kind.scaling
        self._in_memory = sum(split.count for split in splits.values()) * kind.bytes <= MEMORY_LIMIT
        self._arrays: dict[str, tuple[tf.Tensor, tf.Tensor]] = {}

    @property
    def image_size(self) -> int:
        """Height and width of every image, in pixels; of recordings, their samples; of sequences, their items."""
        return self.kind.size

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of an example in a batch, such as (64, 64, 3)."""
        return self.kind.input_shape(self.scaling)

    def scaled(self, scaling: Any) -> "Data":
        """The same data, its batches of another scaling than [−1, 1]."""
        other = copy.copy(self)
        other.scaling = scaling
        return other

    def scaled_for(self, model: Any) -> "Data":
        """The same data as a model says that it takes them; as they are where it says nothing."""
        return self.scaled(self.kind.scaling_for(model) or self.scaling)

    @property
    def train(self) -> tf.data.Dataset:
        """Batches of (float32 images in [−1, 1], labels), shuffled anew in every epoch."""
        steps = -(-self.count("train") // self.batch_size)
        epoch_seeds = tf.data.Dataset.random(seed=0, rerandomize_each_iteration=True).take(1)
        batches = epoch_seeds.flat_map(lambda seed: self._batches("train", tf.stack([seed, seed])))
        return self._scaled(batches).apply(tf.data.experimental.assert_cardinality(steps))

    @property
    def validation(self) -> tf.data.Dataset:
        """Batches of (float32 images in [−1, 1], labels), always in the same order."""
        return self._scaled(self._batches("validation"))

    @property
    def test(self) -> tf.data.Dataset:
        """Batches of (float32 images in [−1, 1], labels), always in the same order."""
        return self._scaled(self._batches("test"))

    def count(self, split: str) -> int:
        """The number of images of a split."""
        return len(self._load(split)[1]) if self._in_memory else self._splits[split].count

    def labels(self, split: str = "train") -> np.ndarray:
        """The labels of a split; of streamed images, which are not decoded here, those of damaged ones too."""
        return self._load(split)[1].numpy() if self._in_memory else self._splits[split].labels()

    def class_weights(self, recipe: Recipe) -> np.ndarray | None:
        """The weights of the classes in the loss, as the recipe says; None where they count alike."""
        return self.task.balanced_weights(self.labels()) if recipe.class_weights == "balanced" else None

    def images(self, split: str = "train", count: int | None = None, seed: int | None = None) -> tuple:
        """Raw pixels, or other examples as they are held.

        Args:
            split: "train", "validation" or "test".
            count: Number of images; None for all. Fewer when the split is smaller.
            seed: Random seed of the sample; None takes the first images.

        Returns:
            (uint8 images count×H×W×3, int16 recordings count×samples or int32 histories count×items; labels, such as
            int64): NumPy arrays.
        """
        order = None if seed is None else tf.constant([seed, 0], tf.int64)
        drawn = self._batches(split, order).unbatch().take(self.count(split) if count is None else count)
        images, labels, _ = zip(*drawn.as_numpy_iterator(), strict=True)
        return np.stack(images), np.array(labels, self.task.dtype)

    def inputs(self, split: str = "train", count: int | None = None, seed: int | None = None) -> tuple:
        """As `images`, but as `tflite.convert` and `tflite.evaluate` take them: pixels, or what a model is given."""
        examples, labels = self.images(split, count, seed)
        return self.kind.inputs(examples, self.scaling), labels

    def pictures(self, inputs: Any) -> np.ndarray:
        """Examples of a batch, or of `inputs`, as uint8 N×H×W×3, to look at."""
        return self.kind.pictures(np.asarray(inputs), self.scaling)

    def pixels(self, split: str = "test") -> tf.data.Dataset:
        """Batches of (uint8 images, labels) of a split, always in the same order."""
        return self._batches(split).map(lambda images, labels, _: (images, labels))

    def steps_per_epoch(self) -> int:
        """Number of batches in one epoch of `epochs`."""
        return max(1, self.count("train") // self.batch_size)

    def epochs(
        self,
        first: int,
        last: int,
        seed: int = 0,
        augmentation: str = "none",
        *,
        first_step: int = 0,
        image_size: int | None = None,
        views: int = 0,
        share: tuple[int, int] = (0, 1),
    ) -> tf.data.Dataset:
        """Training batches of the epochs first..last−1, one after the other, `steps_per_epoch()` each.

        The same arguments give the same batches, whatever was read before. The remainder of an epoch, less than a
        batch, is dropped (other images in each epoch).

        Args:
            first: Number of the first epoch, from 0.
            last: Number of the epoch to stop before (exclusive).
            seed: Random seed of shuffling and augmentation.
            augmentation: As in `Recipe`. mixup and cutmix give soft labels, float32 N×C.
            first_step: Batches of the first epoch to skip; they are not decoded.
            image_size: Height and width to resize to (area interpolation), before augmentation. Default: as the data.
            views: Above 0, the number of fixed augmented views of each image, independent of the seed, which take turns
                from epoch to epoch; batches are (images, labels, index): view · images of the split + image.
            share: Index and number of shards of every batch; only the images of the shard are decoded. With "none" and
                "light", the shards together equal the batch; other augmentations draw per shard.

        Raises:
            UserError: The batches are to be sharded, but there are fewer training images than a batch.
        """
        steps = self.steps_per_epoch()
        if share[1] > 1 and self.count("train") < self.batch_size:
            raise UserError(f"{self.name} has less than a batch of {self.batch_size} training images; lower batch_size")
        augmented = augment.make(self.kind, augmentation, self.task, share)
        seen = augment.fixed_views(self.kind, augmentation) if views else None

        def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
            skipped = tf.where(epoch == first, tf.constant(first_step, tf.int64), tf.constant(0, tf.int64))
            order = tf.stack([tf.constant(seed, tf.int64), epoch])
            return self._batches("train", order, skipped, share).take(steps - skipped)

        def prepare(step: tf.Tensor, batch: tuple) -> tuple:
            images, labels, places = batch
            if image_size not in (None, self.image_size):
                images = self.kind.resized(images, image_size)
            if seen is not None:
                view = step // steps % views
                return self._values(seen(images, places, view)), labels, view * self.count("train") + places
            images, labels = augmented(images, labels, tf.stack([tf.constant(-1 - seed, tf.int64), step]))
            return self._values(images), labels

        batches = tf.data.Dataset.range(first, last).flat_map(one_epoch).enumerate(start=first * steps + first_step)
        return batches.map(prepare, tf.data.AUTOTUNE, deterministic=True).prefetch(tf.data.AUTOTUNE)

    def view(self, number: int, augmentation: str) -> tf.data.Dataset:
        """One of the fixed views of `epochs`: batches of (images, index) of all training images, in order."""
        seen = augment.fixed_views(self.kind, augmentation)

        def prepare(images: tf.Tensor, labels: tf.Tensor, places: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return self._values(seen(images, places, tf.constant(number, tf.int64))), places

        batches = self._batches("train").map(prepare, tf.data.AUTOTUNE, deterministic=True)
        return batches.prefetch(tf.data.AUTOTUNE)

    def fingerprint(self) -> str:
        """SHA-256 of the training images and labels; of the first 8 batches only, where they are streamed."""
        digest = hashlib.sha256()
        batches = self._batches("train")
        for images, labels, _ in batches if self._in_memory else batches.take(8):
            digest.update(images.numpy().tobytes() + labels.numpy().tobytes())
        return digest.hexdigest()

    def validation_share(self, number: int, count: int) -> tf.data.Dataset:
        """One shard of each batch of `validation`; the last batch is padded.

        Returns:
            Batches of (images, labels, weights). Padding has weight 0, and the mean of all weights is 1, so that means
            over all shards of all batches are those over the images.
        """
        size, steps = self.batch_size // count, -(-self.count("validation") // self.batch_size)
        select = self._shard_selection((number, count))
        if self._in_memory:
            images, labels = self._load("validation")
            places = select(tf.data.Dataset.range(len(labels)))
            stream = places.map(lambda place: (tf.gather(images, place), tf.gather(labels, place)))
        else:
            stream = self._splits["validation"].images(None, 0, select).map(lambda image, label, _: (image, label))
        shape = self.kind.shape
        nothing = (tf.zeros(shape, self.kind.dtype), tf.constant(self.task.unreadable))
        filled = stream.concatenate(tf.data.Dataset.from_tensors(nothing).repeat())
        weight = steps * self.batch_size / self.count("validation")

        def prepare(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, ...]:
            images = self._values(self.kind.scale(tf.ensure_shape(images, [size, *shape])))
            good = self.task.readable(labels)
            known = tf.reshape(good, [-1, *[1] * len(self.task.shape)])
            return images, tf.where(known, labels, tf.zeros_like(labels)), tf.where(good, weight, 0.0)

        batches = filled.batch(size, drop_remainder=True).take(steps)
        return batches.map(prepare, tf.data.AUTOTUNE, deterministic=True).prefetch(tf.data.AUTOTUNE)

    def _shard_selection(self, shard: tuple[int, int]) -> Selection:
        """Selects one shard of every batch from a stream of single images."""
        size = self.batch_size // shard[1]

        def select(stream: tf.data.Dataset) -> tf.data.Dataset:
            numbered = stream.enumerate().filter(lambda place, _: place % self.batch_size // size == shard[0])
            return numbered.map(lambda _, image: image)

        return select if shard[1] > 1 else select_all

    def _batches(
        self,
        split: str,
        seed: tf.Tensor | None = None,
        first: tf.Tensor | int = 0,
        share: tuple[int, int] = (0, 1),
    ) -> tf.data.Dataset:
        """Batches of (uint8 images, labels, index in the split), shuffled by the seed (two integers).

        Args:
            split: Name of the split.
            seed: Seed of the shuffle; None for the original order.
            first: Number of batches to skip.
            share: Index and number of shards of each batch. (A shard without a readable image is an error, where the
                images are streamed.)
        """
        size = self.batch_size // share[1]
        if not self._in_memory:
            stream = self._splits[split].images(seed, first * self.batch_size, self._shard_selection(share))
            stream = stream.map(
                lambda example, label, place: (
                    tf.ensure_shape(example, self.kind.shape),
                    tf.ensure_shape(label, self.task.shape),
                    place,
                )
            )
            if seed is None:
                return stream.filter(lambda _, label, place: self.task.readable(label)).batch(self.batch_size)
            # Unreadable images must neither shorten an epoch nor shift the batches after them.
            batches = stream.batch(size)
            if share[1] == 1:
                batches = batches.filter(lambda _, labels, places: tf.reduce_any(self.task.readable(labels)))
            batches = batches.map(self._readable, tf.data.AUTOTUNE, deterministic=True).repeat()
            return batches.take(-(-self.count(split) // self.batch_size))
        images, labels = self._load(split)
        order = tf.range(len(labels)) if seed is None else permutation(len(labels), seed)
        batches = tf.data.Dataset.from_tensor_slices(order[first * self.batch_size :]).batch(self.batch_size)
        if share[1] > 1:
            batches = batches.map(lambda index: index[share[0] * size : (share[0] + 1) * size])
        return batches.map(lambda index: (tf.gather(images, index), tf.gather(labels, index), tf.cast(index, tf.int64)))

    def _scaled(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        return batches.map(
            lambda images, labels, _: (self._values(self.kind.scale(images)), labels),
            tf.data.AUTOTUNE,
            deterministic=True,
        ).prefetch(tf.data.AUTOTUNE)

    def _values(self, examples: tf.Tensor) -> tf.Tensor:
        """Examples of [−1, 1] in the scaling of this data."""
        return self.kind.values(examples, self.scaling)

    def _load(self, split: str) -> tuple[tf.Tensor, tf.Tensor]:
        """Decodes a split once, without the images that cannot be read."""
        if split not in self._arrays:
            count, noun = self._splits[split].count, self.kind.noun
            images = np.empty((count, *self.kind.shape), self.kind.dtype)
            labels = np.empty((count, *self.task.shape), self.task.dtype)
            kept = 0
            chunks = self._splits[split].images(None, 0).batch(256).prefetch(1).as_numpy_iterator()
            for pixels, classes, *_ in track(chunks, f"reading {self.name} ({split})", total=-(-count // 256)):
                good = self.task.readable(classes).numpy()
                last = kept + int(good.sum())
                images[kept:last], labels[kept:last] = pixels[good], classes[good]
                kept = last
            if not kept or (kept < count and split == "train" and self.task.missing(labels[:kept])):
                raise UserError(
                    f"{self.name}: a class has no readable {noun} in the {split} split; replace the damaged files"
                )
            if kept < count:
                warnings.warn(
                    f"{count - kept} of the {count} {noun}s of the {split} split cannot be read and are left out",
                    stacklevel=2,
                )
            with tf.device("CPU"):
                self._arrays[split] = tf.constant(images[:kept]), tf.constant(labels[:kept])
        return self._arrays[split]

    def _readable(self, images: tf.Tensor, labels: tf.Tensor, places: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """The batch, its unreadable images replaced by others of it."""
        good = tf.where(self.task.readable(labels))[:, 0]
        index = tf.gather(good, tf.range(tf.shape(labels)[0]) % tf.size(good))
        return tf.gather(images, index), tf.gather(labels, index), tf.gather(places, index)
