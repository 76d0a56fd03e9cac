"""Weight clustering: the weights of a kernel share a few distinct values, so that the model compresses well.

Shared weights as in "Deep compression" (arXiv:1510.00149, section 3) by tensorflow-model-optimization: centroids from
k-means++, which are fine-tuned.
"""

from collections.abc import Collection
from pathlib import Path

import keras

from keras_mobilenets.errors import UserError
from keras_mobilenets.graphs.plain_layers import plain_model
from keras_mobilenets.graphs.reparameterization import reparameterized
from keras_mobilenets.training.compression.wrappers import (
    check_arguments,
    compressible_layers,
    default_recipe,
    record_settings,
    wrap_layers,
)
from keras_mobilenets.training.datasets.dataset import Data
from keras_mobilenets.training.recipe import Recipe

RECIPE = Recipe(epochs=2, learning_rate=3e-4, warmup_epochs=0.0, augmentation="none")


def cluster(
    model: keras.Model,
    data: Data,
    clusters: int = 16,
    *,
    recipe: Recipe | None = None,
    run_dir: str | Path | None = None,
    layers: Collection[str] | None = None,
    verbose: int | str = "auto",
) -> keras.Model:
    """Clusters the weights of each kernel and fine-tunes the centroids.

    Args:
        model: Trained Keras 3 classifier, which may have models inside it; it is left as it is.
        data: What `load_data` returns.
        clusters: Number of clusters per kernel, 2 or more.
        recipe: How to train. Default: 2 epochs (of fewer than 125 steps: 250 steps, at most 20 epochs) without
            augmentation at a tenth of the learning rate of a training from scratch.
        run_dir: Folder of the training; called again after a kill, it resumes there. Default: none is kept.
        layers: Names of the layers to cluster. Default: all convolutions but the first and the depthwise ones, and all
            dense layers.
        verbose: As in `fit`.

    Returns:
        A new Keras 3 model of the same layers, ready to convert.

    Raises:
        UserError: An argument is out of range, there is no layer to cluster, or as in `fit`.
    """
    check_arguments(model, data, "cluster")
    model = reparameterized(plain_model(model))
    if clusters < 2:
        raise UserError(f"clusters must be 2 or more, such as 16, not {clusters}")
    names = [layer.name for layer in compressible_layers(model, layers, "cluster")]
    record_settings(run_dir, "clustering", {"clusters": clusters, "layers": names})

    import tensorflow_model_optimization as tfmot

    from keras_mobilenets.training.compression.keras_bridge import to_keras, to_tf_keras
    from keras_mobilenets.training.engine.trainer import fit

    tools = tfmot.clustering.keras
    start = tools.CentroidInitialization.KMEANS_PLUS_PLUS
    clustered = wrap_layers(to_tf_keras(model), names, lambda layer: tools.cluster_weights(layer, clusters, start))
    fit(clustered, data, recipe or default_recipe(RECIPE, data, run_dir), run_dir, verbose=verbose)
    return to_keras(tools.strip_clustering(clustered))
