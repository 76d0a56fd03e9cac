"""Grouped convolutions on a CPU: each group by TensorFlow's own kernel.

TensorFlow trains no grouped convolution on a CPU, so that Keras 3 and tf_keras compile them by XLA, whose loops take a
hundred times as long and more: at 7×7 pixels and 368 channels in groups of 8 5.7 s for a step of 32 images, 9 ms by
groups (one thread).
"""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf


@contextlib.contextmanager
def split_groups() -> Iterator[None]:
    """Lets Conv2D layers of several groups, of Keras 3 and tf_keras, convolve group by group inside the block.

    Where there is a GPU, which has kernels for them, and on every backend but TensorFlow they work as they always do.
    """
    if keras.backend.backend() != "tensorflow" or tf.config.get_visible_devices("GPU"):
        yield
        return
    with contextlib.ExitStack() as stack:
        stack.enter_context(_replaced(keras.layers.Conv2D, "convolution_op"))
        if "tf_keras" in sys.modules:
            stack.enter_context(_replaced(sys.modules["tf_keras"].layers.Conv2D, "_jit_compiled_convolution_op"))
        yield


@contextlib.contextmanager
def _replaced(convolution: Any, method: str) -> Iterator[None]:
    plain = getattr(convolution, method)

    def convolve(layer: Any, inputs: Any, kernel: Any) -> Any:
        if layer.groups == 1 or layer.data_format != "channels_last":
            return plain(layer, inputs, kernel)
        parts = zip(tf.split(inputs, layer.groups, -1), tf.split(kernel, layer.groups, -1), strict=True)
        how: dict[str, Any] = {"padding": layer.padding.upper(), "dilations": layer.dilation_rate}
        return tf.concat([tf.nn.conv2d(x, own, layer.strides, **how) for x, own in parts], -1)

    setattr(convolution, method, convolve)
    try:
        yield
    finally:
        setattr(convolution, method, plain)
