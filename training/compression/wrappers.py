"""What weight pruning and weight clustering share: the layers to compress, and tfmot's wrappers around them."""

import dataclasses
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import keras

from keras_mobilenets import files
from keras_mobilenets.errors import UserError, unknown
from keras_mobilenets.training.datasets.dataset import Data
from keras_mobilenets.training.recipe import Recipe, compression_epochs


def compressible_layers(model: keras.Model, names: Collection[str] | None, verb: str) -> list[Any]:
    """The layers to compress: dense layers, and convolutions but the first and the depthwise ones.

    Args:
        model: Functional Keras 3 model.
        names: Only these layers, with any kernel; None for all.
        verb: For the error message, such as "prune".

    Raises:
        UserError: There is none, or a name is not of a layer with a kernel.
    """
    layers = [layer for layer in model._flatten_layers() if isinstance(getattr(layer, "kernel", None), keras.Variable)]
    kernels = {layer.name: layer for layer in layers}
    if names is not None:
        for name in names:
            if name not in kernels:
                raise unknown("layer with a kernel", name, list(kernels), "model.summary()")
        chosen = [layer for name, layer in kernels.items() if name in set(names)]
    else:
        convolutions = [layer for layer in kernels.values() if type(layer) is keras.layers.Conv2D]
        first = convolutions[0] if convolutions else None
        pointwise = {id(layer) for layer in convolutions if layer is not first and layer.kernel.shape[2] > 1}
        dense = {id(layer) for layer in kernels.values() if type(layer) is keras.layers.Dense}
        chosen = [layer for layer in kernels.values() if id(layer) in pointwise | dense]
    if not chosen:
        raise UserError(f"{model.name} has no layer to {verb}: no dense layer and no convolution after the first")
    return chosen


def check_arguments(model: Any, data: Any, verb: str) -> None:
    """Checks the model and the data.

    Raises:
        UserError: It is no Keras 3 model, or no data set.
    """
    if not isinstance(model, keras.Model):
        raise UserError(f"{verb} takes a Keras 3 model, not {type(model).__module__}.{type(model).__name__}")
    if not isinstance(data, Data):
        raise UserError(f"{verb} needs data: give it what training.load_data returns, not {type(data).__name__}")


def default_recipe(usual: Recipe, data: Data, run_dir: str | Path | None) -> Recipe:
    """The recipe where none is given: the usual one, on small data with as many steps; that of a run which is there."""
    recorded = files.read_record(run_dir).get("recipe", {}) if run_dir is not None else {}
    epochs = compression_epochs(usual.epochs, data.steps_per_epoch())
    return dataclasses.replace(usual, epochs=recorded.get("epochs", epochs))


def wrap_layers(model: Any, names: Collection[str], wrap: Callable[[Any], Any]) -> Any:
    """The same tf_keras model with `wrap(layer)` for the named layers; it shares their weights."""
    import tf_keras

    return tf_keras.models.clone_model(
        model, clone_function=lambda layer: wrap(layer) if layer.name in names else layer
    )


def record_settings(run_dir: str | Path | None, key: str, values: dict[str, Any]) -> None:
    """Writes the settings to run.json, or checks that a training there has the same.

    Raises:
        UserError: The folder holds another training.
    """
    if run_dir is None:
        return
    before = files.read_record(run_dir)
    if before and key not in before:
        raise UserError(f"{run_dir} holds a training without {key}; give another run folder or delete this one")
    files.refuse_other(run_dir, f"training with {key}", before.get(key, values), values)
    if not before:
        files.write_json(Path(run_dir) / "run.json", {key: values})
