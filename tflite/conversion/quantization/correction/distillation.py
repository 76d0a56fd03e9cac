"""Weights and biases of an int8 model trained on unlabelled images, with the float model as teacher.

Layer by layer only what a layer's own rounding does can be mended; most of the error of real networks is that of
activations, which the layers behind can learn to bear together. Batch normalization is folded into the weights and so
frozen; ranges stay. Steps are relative to each channel's largest weight, since channels differ by orders of magnitude.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_mobilenets.progress import track

STEPS = 160
_BATCH, _ROUND = 16, 10  # samples of a step; steps that are prepared at once
_RATE, _WARM_UP = 4e-5, 10  # of a channel's largest weight, after so many steps; then falls to 0 as a cosine
_MOMENTUM, _POWER = 0.9, 0.99


def distil(
    floats: bytes, int8: bytes, teach: Callable[[list[np.ndarray]], list[np.ndarray]], samples: Sequence[np.ndarray]
) -> bytes:
    """Trains the weights and biases of an int8 model.

    Args:
        floats: The float32 .tflite that was quantized.
        int8: What came of it, not yet rewritten for a target.
        teach: Gives what the outputs should be, before a softmax, for N×… of each input.
        samples: float32 N×… for each input.

    Returns:
        The int8 .tflite with other integers; scales are as before.

    Raises:
        UserError: The model has operators that are not known here.
    """
    import tensorflow as tf

    from keras_mobilenets.tflite.conversion.quantization.correction.fake_quantization import FakeQuantized

    model = FakeQuantized(floats, int8)
    optimizer = _Adam([(constant.variable, constant.size) for constant in model.constants])

    @tf.function(autograph=False)
    def step(inputs: Any, wanted: Any, rate: Any, number: Any) -> None:
        with tf.GradientTape() as tape:
            loss = tf.add_n([_error(y, t) for y, t in zip(model(inputs), wanted, strict=True)])
        optimizer.step(tape.gradient(loss, optimizer.variables), rate, number)

    rng = np.random.default_rng(0)
    for number in track(range(STEPS), "Training for int8"):
        if number % _ROUND == 0:
            given = _varied(samples, _ROUND * _BATCH, rng)
            wanted = teach(given)
        part = slice(number % _ROUND * _BATCH, (number % _ROUND + 1) * _BATCH)
        rate = _RATE * min(1, (number + 1) / _WARM_UP) * 0.5 * (1 + np.cos(np.pi * number / STEPS))
        batch = [[tf.constant(array[part]) for array in side] for side in (given, wanted)]
        step(*batch, tf.constant(rate, tf.float32), tf.constant(number + 1.0))
    return model.write()


def _error(found: Any, wanted: Any) -> Any:
    """Power of the error over that of the output."""
    import tensorflow as tf

    error = tf.reshape(found, tf.shape(wanted)) - wanted
    return tf.reduce_mean(tf.square(error)) / (tf.reduce_mean(tf.square(wanted)) + 1e-12)


def _varied(samples: Sequence[np.ndarray], count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Samples with others mixed in (Zhang et al. 2018, arXiv:1710.09412), half of the maps mirrored.

    The teacher answers whatever it is shown.
    """
    first, second = rng.integers(len(samples[0]), size=(2, count))
    share = np.where(rng.random(count) < 0.5, 1.0, rng.uniform(0.5, 1.0, count)).astype(np.float32)
    mirrored = rng.random(count) < 0.5
    result = []
    for array in samples:
        one = array[first]
        if array.dtype.kind == "f":
            weight = share.reshape(-1, *[1] * (array.ndim - 1))
            one = weight * one + (1 - weight) * array[second]
        if array.ndim == 4:
            one[mirrored] = one[mirrored][:, :, ::-1]
        result.append(one)
    return result


class _Adam:
    """Kingma and Ba 2015, arXiv:1412.6980; steps are relative to the size of what is stepped."""

    def __init__(self, sized: Sequence[tuple[Any, Any]]) -> None:
        import tensorflow as tf

        self.variables = [variable for variable, _ in sized]
        self._sizes = [tf.constant(size, tf.float32) for _, size in sized]
        self._means, self._squares = ([tf.Variable(tf.zeros_like(v)) for v in self.variables] for _ in range(2))

    def step(self, gradients: Sequence[Any], rate: Any, number: Any) -> None:
        import tensorflow as tf

        parts = (self.variables, gradients, self._sizes, self._means, self._squares)
        for variable, gradient, size, mean, square in zip(*parts, strict=True):
            if gradient is None:  # nothing of it reaches the output
                continue
            mean.assign(_MOMENTUM * mean + (1 - _MOMENTUM) * gradient)
            square.assign(_POWER * square + (1 - _POWER) * gradient**2)
            root = tf.sqrt(square / (1 - _POWER**number)) + 1e-12
            variable.assign_sub(rate * size * mean / (1 - _MOMENTUM**number) / root)
