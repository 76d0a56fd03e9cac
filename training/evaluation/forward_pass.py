"""A model's answers, traced once for batches of any size."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.progress import track
from keras_mobilenets.training.introspection import library_of


def forward_pass(model: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Makes a function from a batch of images to the model's outputs.

    `predict` traces the model anew for the size of the last batch; over the few batches of small data and several
    models, TensorFlow warns of it.

    Args:
        model: A Keras 3 or tf_keras model of one input and one output.

    Returns:
        A function of float32 N×H×W×C, scaled as the model takes them, or of int32 histories, to float32 outputs.
    """
    library = library_of(model)
    if library.__name__ == "keras" and library.backend.backend() != "tensorflow":
        return lambda images: np.asarray(model.predict_on_batch(images), np.float32)
    import tensorflow as tf

    dtype = tf.int32 if tf.as_dtype(model.inputs[0].dtype) == tf.int32 else tf.float32
    images = tf.TensorSpec([None, *model.input_shape[1:]], dtype)
    graph = tf.function(lambda images: model(images, training=False)).get_concrete_function(images)
    return lambda images: np.asarray(graph(tf.constant(images, dtype)), np.float32)


def answers(model: Any, data: Any, split: str) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Examples of a split, their labels and a model's outputs, a batch at a time, so that the split may have any size.

    Args:
        model: As for `forward_pass`.
        data: What `load_data` returns, scaled for the model.
        split: "train", "validation" or "test".

    Raises:
        UserError: There is no such split.
    """
    if split not in ("train", "validation", "test"):
        raise UserError(f"split={split!r}: choose train, validation or test")
    forward, total = forward_pass(model), -(-data.count(split) // data.batch_size)
    for examples, labels in track(getattr(data, split), f"evaluating {split} {data.kind.noun}s", total):
        yield np.asarray(examples), np.asarray(labels), forward(np.asarray(examples))
