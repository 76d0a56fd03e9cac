"""Transfer learning: pretrained weights and a new head, which trains first; then fine-tuning of the last blocks.

Yosinski et al. 2014, arXiv:1411.1792: features of the first layers are general, those of the last are specific.
"""

import contextlib
import dataclasses
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras

import keras_mobilenets as km
from keras_mobilenets.errors import UserError
from keras_mobilenets.training.datasets.dataset import Data
from keras_mobilenets.training.engine.trainer import fit
from keras_mobilenets.training.recipe import Recipe

FINE_TUNING_RATE = 0.1  # the learning rate of the second phase, as a factor on the recipe's


def pretrained(builder: str, weights: str | Path, classes: int, input_shape: Any = None, **arguments: Any) -> Any:
    """Builds a model with pretrained weights up to its last feature map, and a new head for other classes.

    Args:
        builder: A name of `list_models()`.
        weights: "imagenet", any `weights` of the builder with `include_top=False`, or a `.keras` file of the same
            builder, trained on any classes at any size.
        classes: Number of classes of the new head.
        input_shape: Height, width and 3.
        **arguments: Further arguments of the builder.

    Raises:
        UserError: The weights are missing, or of another architecture.
    """
    model = km.create_model(builder, input_shape=input_shape, classes=classes, **arguments)
    if Path(weights).suffix == ".keras":
        from keras_mobilenets.training.compression.model_loader import load_model

        return _copy_body(model, load_model(weights), weights)
    options = {key: value for key, value in arguments.items() if key not in ("dropout_rate", "classifier_activation")}
    body = km.create_model(builder, input_shape=input_shape, include_top=False, weights=str(weights), **options)
    x = body.output
    for layer in model.layers[_head_index(model) :]:
        x = layer.__class__.from_config(layer.get_config())(x)
    return keras.Model(body.input, x, name=model.name)


def fine_tune(
    model: Any,
    data: Data,
    recipe: Recipe | None = None,
    run_dir: str | Path | None = None,
    *,
    freeze: int = 0,
    head_epochs: int = 3,
    **options: Any,
) -> Any:
    """Trains the head of a pretrained model, then fine-tunes all but the first blocks at a tenth of the learning rate.

    BatchNormalization layers stay frozen, in inference mode: moving statistics of a small new data set are worse than
    those of ImageNet. As for `fit`, the same call resumes after a kill. RUN/head holds the first phase, RUN the second.

    Args:
        model: What `pretrained` returns, or any functional Keras 3 model of this package.
        data: What `load_data` returns.
        recipe: How to train; its epochs are those of the second phase. Default: `Recipe()`.
        run_dir: As for `fit`.
        freeze: Number of blocks that stay frozen, with the stem; 0 trains everything.
        head_epochs: Epochs of the first phase; 0 skips it.
        **options: `callbacks`, `best_from`, `checkpoint_seconds` and `verbose`, as for `fit`, in both phases.

    Returns:
        The History of the second phase.

    Raises:
        UserError: The model has fewer blocks, or as for `fit`.
    """
    recipe = recipe or Recipe()
    if head_epochs < 0:
        raise UserError(f"head_epochs must be 0 or more, not {head_epochs}")
    body = model.layers[: _head_index(model)]
    frozen = _stem_and_blocks(body, freeze)
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    if head_epochs:
        head = dataclasses.replace(
            recipe,
            epochs=head_epochs,
            warmup_epochs=min(recipe.warmup_epochs, head_epochs / 4),
            stochastic_depth=0.0,
            ema_epochs=0.0,
            stages=1,
        )
        with _freeze([*body, *norms]):
            fit(model, data, head, run_dir and Path(run_dir) / "head", **options)
    fine = dataclasses.replace(recipe, learning_rate=FINE_TUNING_RATE * recipe.learning_rate)
    objective = data.task.objective(model, fine, data.class_weights(fine))
    objective = dataclasses.replace(objective, settings={"transfer": {"freeze": freeze, "head_epochs": head_epochs}})
    with _freeze([*frozen, *norms]):
        return fit(model, data, fine, run_dir, objective=objective, **options)


@contextlib.contextmanager
def _freeze(layers: Sequence[Any]) -> Iterator[None]:
    """Inside the block, the layers are not trainable; BatchNormalization layers use their moving statistics."""
    before = [layer.trainable for layer in layers]
    for layer in layers:
        layer.trainable = False
    try:
        yield
    finally:
        for layer, trainable in zip(layers, before, strict=True):
            layer.trainable = trainable


def _stem_and_blocks(body: Sequence[Any], count: int) -> list[Any]:
    """The layers of the stem and of the first `count` blocks."""
    blocks: dict[str, int] = {}  # the block's name: the index after its last layer
    for place, layer in enumerate(body):
        if found := re.match(r"(block_\d+|stage_\d+_block_\d+)_", layer.name):
            blocks[found[1]] = place + 1
    if not 0 <= count <= len(blocks):
        raise UserError(f"freeze={count}: the model has {len(blocks)} blocks; give 0 to {len(blocks)}")
    return list(body[: list(blocks.values())[count - 1]]) if count else []


def _head_index(model: Any) -> int:
    """The index of the first layer after the last feature map."""
    for place, layer in enumerate(model.layers):
        if isinstance(layer, keras.layers.GlobalAveragePooling2D | keras.layers.Flatten) and layer.name in (
            "pool",
            "flatten",
        ):
            return place
    raise UserError(f"{model.name} has no layer `pool` or `flatten` between its feature map and its head")


def _copy_body(model: Any, trained: Any, source: Any) -> Any:
    """Copies the weights of all layers before the head, by name."""
    known = {layer.name: layer for layer in trained.layers}
    for layer in model.layers[: _head_index(model)]:
        stored = known[layer.name].get_weights() if layer.name in known else []
        if [value.shape for value in stored] != [tuple(weight.shape) for weight in layer.weights]:
            raise UserError(f"{source} is of another architecture: its {layer.name} does not fit {model.name}")
        layer.set_weights(stored)
    return model
