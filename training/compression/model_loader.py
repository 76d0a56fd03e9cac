"""Loading of models: Keras 3's files, and those of Keras 2, which become Keras 3 models where the answers stay."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.weights import saved_model


def load_model(path: str | Path) -> Any:
    """Loads a model from a file, in safe mode: the file cannot run code.

    Args:
        path: A `.keras` or `.h5` file of Keras 3 or of Keras 2 (tf_keras), or a SavedModel folder of Keras 2.

    Returns:
        A Keras 3 model. A tf_keras model where it has no like in Keras 3, such as a quantization-aware one.

    Raises:
        UserError: There is no such file, it holds no Keras model or one with classes that are not imported, is damaged,
            or asks to run code.
    """
    kind = saved_model.model_format(path)
    if kind == "export":
        raise UserError(
            f"{path} was exported to compute only: tflite.convert takes it, all else needs the .keras or .h5 file"
        )
    if kind == "keras":
        model = saved_model.load_model(path)
        for layer in model._flatten_layers():  # also those that were frozen when it was saved, as in fine-tuning
            layer.trainable = True
        return model
    return in_keras(_load_tf_keras(path))


def _load_tf_keras(path: str | Path) -> Any:
    import tensorflow_model_optimization as tfmot
    import tf_keras
    from tf_keras.src.saving.serialization_lib import SafeModeScope

    from keras_mobilenets.training.compression import qat_scheme, tf_keras_layers  # noqa: F401 (they register layers)

    scopes = tfmot.sparsity.keras.prune_scope(), tfmot.clustering.keras.cluster_scope(), SafeModeScope(True)
    old_names = {"relu6": tf_keras_layers.relu6}  # Keras 2.0's MobileNet
    try:
        with tfmot.quantization.keras.quantize_scope(old_names), scopes[0], scopes[1], scopes[2]:
            return tf_keras.models.load_model(path, compile=False)
    except Exception as error:  # a damaged archive fails in many ways
        raise saved_model.refusal(path, error) from error


def in_keras(model: Any) -> Any:
    """A tf_keras model in Keras 3, without tfmot's wrappers of pruning and clustering.

    Returns:
        The Keras 3 model; the tf_keras model where a layer has no counterpart there, or where the answers differ.
    """
    from keras_mobilenets.training.compression import keras_bridge, qat

    if qat.is_quantize_aware(model) or qat.is_quantize_aware_by_tfmot(model):
        return model
    model = without_wrappers(model)
    try:
        made = keras_bridge.to_keras(model)
    except UserError:
        return model
    return made if _agree(model, made) else model


def without_wrappers(model: Any) -> Any:
    """A tf_keras model without tfmot's wrappers of pruning and clustering, their masks and centroids applied."""
    import tensorflow_model_optimization as tfmot

    kinds = {type(layer).__name__ for layer in model._flatten_layers(include_self=False)}
    for kind, strip in (
        ("PruneLowMagnitude", tfmot.sparsity.keras.strip_pruning),
        ("ClusterWeights", tfmot.clustering.keras.strip_clustering),
    ):
        if kind in kinds:
            warnings.warn(f"{model.name} is taken without tfmot's {kind} wrappers (stripped)", stacklevel=2)
            model = strip(model)
    return model


def _agree(old: Any, new: Any) -> bool:
    """Whether two models give the same on noise: a layer may mean something else in the other version of Keras."""
    import keras

    from keras_mobilenets.training.engine.precision import float32

    rng = np.random.default_rng(0)
    shapes = [tuple(size or 64 for size in tensor.shape[1:]) for tensor in new.inputs]
    noise = [rng.uniform(-1, 1, (2, *shape)).astype("float32") for shape in shapes]
    with float32(old):
        expected, found = (
            keras.tree.flatten(model(noise[0] if len(noise) == 1 else noise, training=False)) for model in (old, new)
        )
    return all(
        np.allclose(a, b, rtol=1e-3, atol=1e-4 * float(np.abs(a).max() or 1))
        for a, b in zip(map(np.asarray, expected), map(np.asarray, found), strict=True)
    )
