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


def answers(model, images):
    """The outputs of a Keras 3 or tf_keras model. One eager pass costs a tenth of tracing the graph of `predict`."""
    return np.asarray(model(np.asarray(images, np.float32), training=False))


def one_step(model, optimizer, images, labels):
    """Compiles the model and trains it for one step, without tracing a graph, which costs ten times as much."""
    model.compile(optimizer, "sparse_categorical_crossentropy", run_eagerly=True)
    model.train_on_batch(images, labels)
