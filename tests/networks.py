"""What the tests of several parts of the package ask of a network."""

import math

import numpy as np


def randomize(model, seed=0, *, scales=(0.5, 1.5), biases=0.1, kernels=False):
    """Statistics and biases that a mistake in their order would show.

    Kernels stay as initialized, or become normal too, so that no two weights are alike.
    """
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        if weight.path.endswith(("moving_variance", "gamma")):
            weight.assign(rng.uniform(*scales, weight.shape))
        elif len(weight.shape) == 1:
            weight.assign(biases * rng.standard_normal(weight.shape))
        elif kernels:
            weight.assign(rng.standard_normal(weight.shape) / math.sqrt(math.prod(weight.shape[:-1])))
    return model


def uneven(size):
    """Layer b gives a channel that is 300 times as large as the others, and that layer c does not read."""
    import keras

    keras.utils.set_random_seed(0)
    inputs = x = keras.Input((size, size, 3))
    for name in "abcd":
        x = keras.layers.Conv2D(16, 3, padding="same", activation="relu", name=name)(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    model = keras.Model(inputs, keras.layers.Dense(10, name="answer")(x))
    b, c = model.get_layer("b"), model.get_layer("c")
    b.kernel.assign(b.kernel * np.where(np.arange(16) == 3, 300.0, 1.0))
    c.kernel.assign(c.kernel * np.where(np.arange(16) == 3, 0.0, 1.0)[:, None])
    return model


def coloured_noise(count, size=32, seed=0):
    """Images of noise, uint8, no two alike in tone."""
    rng = np.random.default_rng(seed)
    tone = rng.uniform(0, 255, (count, 1, 1, 3))
    return np.clip(tone + rng.normal(0, 60, (count, size, size, 3)), 0, 255).astype(np.uint8)


def answers(model, images):
    """The outputs of a Keras 3 or tf_keras model. One eager pass costs a tenth of tracing the graph of `predict`."""
    return np.asarray(model(np.asarray(images, np.float32), training=False))


def one_step(model, optimizer, images, labels):
    """Compiles the model and trains it for one step, without tracing a graph, which costs ten times as much."""
    model.compile(optimizer, "sparse_categorical_crossentropy", run_eagerly=True)
    model.train_on_batch(images, labels)


def small_detector(classes=3, size=32, seed=1):
    """A detector of one map and 96 anchors, as `km.SSDLite` names its layers, untrained but lively."""
    import keras

    keras.utils.set_random_seed(seed)
    inputs = keras.Input((size, size, 3))
    x = keras.layers.Conv2D(64, 9, strides=size // 4, padding="same", activation="relu6")(inputs)
    ends = []
    for kind, values in (("boxes", 4), ("scores", 1 + classes)):
        spread = keras.initializers.RandomNormal(stddev=0.6)
        head = keras.layers.Conv2D(6 * values, 1, kernel_initializer=spread, name=f"{kind}_0")(x)
        ends.append(keras.layers.Reshape((-1, values), name=f"{kind}_0_rows")(head))
    return keras.Model(inputs, keras.layers.Concatenate(name="detections")(ends), name="small_detector")
