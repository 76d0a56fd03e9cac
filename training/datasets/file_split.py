"""A split whose examples are files, each with its label."""

import warnings
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from keras_mobilenets.training.datasets.kind import Kind, Reader
from keras_mobilenets.training.datasets.split import Selection, Split, permutation, select_all
from keras_mobilenets.training.tasks.task import Task


def file_split(files: Sequence[str], labels: np.ndarray, kind: Kind, task: Task, read_file: Reader) -> Split:
    """The split of these files; one that cannot be read is named in a warning and left out.

    Args:
        files: Their paths.
        labels: The label of each, in the task's shape and dtype.
        kind: What the examples are.
        task: What the labels are.
        read_file: What reads a file, as `Kind.reader` gives it.
    """
    skipped: set[str] = set()
    labels = np.asarray(labels, task.dtype)

    def read(index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        file = files[int(index)]
        try:
            return read_file(file), labels[index]
        except Exception as error:  # libraries raise OSError, SyntaxError, ValueError and others for damaged files
            if file not in skipped:
                skipped.add(file)
                warnings.warn(f"skipped {file}: {kind.why_unreadable(error)}", stacklevel=2)
            return np.zeros(kind.shape, kind.dtype), task.unreadable

    def images(seed: tf.Tensor | None, first: tf.Tensor | int, select: Selection = select_all) -> tf.data.Dataset:
        order = tf.range(len(files)) if seed is None else permutation(len(files), seed)
        return select(tf.data.Dataset.from_tensor_slices(order[first:])).map(
            lambda index: (*tf.numpy_function(read, [index], (kind.dtype, task.dtype)), tf.cast(index, tf.int64)),
            num_parallel_calls=tf.data.AUTOTUNE,
        )

    return Split(len(files), images, lambda: labels)
