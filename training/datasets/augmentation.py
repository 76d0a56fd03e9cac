"""Augmentation of batches by parts, whatever the kind of their examples, with stateless random numbers.

The layers of Keras have random states of their own; here the examples of a step depend on (seed, step) alone, so that a
training can resume anywhere.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from keras_mobilenets.errors import UserError
from keras_mobilenets.training.datasets.kind import Kind
from keras_mobilenets.training.recipe import MIXING, augmentation_parts, mixes
from keras_mobilenets.training.tasks.classification import Classification
from keras_mobilenets.training.tasks.task import Task

VIEWS = 2**62  # seeds of fixed views, far from those of trainings
SHARD = 2**16  # seeds of the shards of a batch, beside those of the whole batch


def make(
    kind: Kind, augmentation: str, task: Task, shard: tuple[int, int] = (0, 1)
) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """Builds an augmentation from its name.

    Args:
        kind: Of the examples.
        augmentation: As in `Recipe`.
        task: Of the labels.
        shard: Index and number of shards of a batch, of which the examples are one. "light" gives them the same as in
            the whole batch; the other augmentations draw per shard, and mix examples of the same shard.

    Returns:
        A function of examples as they are held, their labels and a seed (two integers) to float32 examples in [−1, 1]
        and labels; with mixup or cutmix, these are soft labels, float32 N×classes.

    Raises:
        UserError: The kind has no such part.
    """
    parts = augmentation_parts(augmentation)
    mixing = [_mixing(name, strength) for name, strength in parts.items() if name in MIXING]
    own = task.parts or {"light": None} | {name: _of_examples(change) for name, change in kind.parts.items()}
    known = ("none", *own, *(kind.mixing if task.mixes else ()))
    if strange := [name for name in parts if name not in known]:
        what = f"{kind.noun}s" if task.mixes else f"{task.name} of {kind.noun}s"
        raise UserError(f"augmentation {strange[0]} is not for {what}: of them there are {', '.join(known)}")
    changes = [partial(own[name], strength) for name, strength in parts.items() if own.get(name)]

    def augmented(examples: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        own_seed = seed if shard[1] == 1 else fold(seed, SHARD + shard[0])
        if "light" in parts and not task.parts:
            examples = kind.light(examples, seed, shard)
        else:
            shape = examples.shape
            for number, part in enumerate(changes):
                examples, labels = part(tf.cast(examples, tf.float32), labels, fold(own_seed, number))
            examples = tf.ensure_shape(kind.scale(examples), shape)
        if not mixing:
            return examples, labels
        rows = task.soft(labels)
        drawn = tf.random.stateless_uniform([], fold(seed, -1), maxval=len(mixing), dtype=tf.int32)
        return tf.switch_case(drawn, [partial(mix, examples, rows, fold(own_seed, -2)) for mix in mixing])

    return augmented


def _of_examples(change: Any) -> Any:
    """A change of examples alone as one of examples and labels."""
    return lambda strength, examples, labels, seed: (change(strength, examples, seed), labels)


def fixed_views(kind: Kind, augmentation: str) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]:
    """Builds fixed views: an augmentation that is the same for an image in every epoch and in every batch.

    Args:
        kind: Of the examples.
        augmentation: As in `Recipe`, without mixup and cutmix.

    Returns:
        A function of examples as they are held, their index in the split and the number of the view (both int64) to
        float32 examples in [−1, 1].

    Raises:
        UserError: The augmentation has mixup or cutmix.
    """
    if mixes(augmentation):
        raise UserError(f"augmentation {augmentation!r}: mixed images have no fixed views; leave mixup and cutmix out")
    augmented = make(kind, augmentation, Classification([]))

    def seen(examples: tf.Tensor, places: tf.Tensor, view: tf.Tensor) -> tf.Tensor:
        def one(example_at: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
            example, place = example_at
            return augmented(example[tf.newaxis], place[tf.newaxis], tf.stack([VIEWS + view, place]))[0][0]

        if augmentation == "none":
            return kind.scale(examples)
        like = kind.scale(examples)
        return tf.map_fn(one, (examples, places), fn_output_signature=tf.TensorSpec(examples.shape[1:], like.dtype))

    return seen


def _mixing(name: str, strength: float | None) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
    layer = {"mixup": keras.layers.MixUp, "cutmix": keras.layers.CutMix}[name](strength, dtype="float32")
    layer.backend.set_backend("tensorflow")

    def mix(examples: tf.Tensor, rows: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images = tf.reshape(examples, [*tf.unstack(tf.shape(examples)), *[1] * (4 - examples.shape.rank)])
        drawn = layer.get_random_transformation(images, training=True, seed=SeedStream(seed))
        mixed = tf.reshape(layer.transform_images(images, drawn, training=True), tf.shape(examples))
        return tf.ensure_shape(mixed, examples.shape), layer.transform_labels(rows, drawn, training=True)

    return mix


class SeedStream(keras.random.SeedGenerator):
    """A seed generator for Keras layers that derives its seeds from a stateless one, without a variable."""

    def __init__(self, seed: tf.Tensor) -> None:
        self._from, self._number = seed, 0

    def next(self, ordered: bool = True) -> tf.Tensor:
        """The next seed."""
        self._number += 1
        return fold(self._from, self._number)


def fold(seed: tf.Tensor, number: Any) -> tf.Tensor:
    """A seed of its own for a number."""
    return tf.random.experimental.stateless_fold_in(seed, tf.cast(number, tf.int64))
