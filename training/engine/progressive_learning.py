"""Progressive learning: a training begins with small images and little regularization, and both grow in stages.

EfficientNetV2, arXiv:2104.00298, section 4, algorithm 1.
"""

from typing import Any, NamedTuple

import keras
import tensorflow as tf
from keras import ops

from keras_mobilenets.errors import UserError
from keras_mobilenets.training.recipe import MIXING, Recipe, augmentation_parts

MULTIPLE = 8  # of which the sizes before the last one are, in pixels
GROWING = ("randaugment", *MIXING)  # parts of an augmentation whose strength grows


class Stage(NamedTuple):
    """Epochs that train alike.

    Attributes:
        first: The first epoch, from 0.
        last: The epoch behind the last one.
        image_size: Height and width of the images, in pixels.
        regularization: The share of the recipe's dropout and stochastic depth, 0 to 1.
        augmentation: As in `Recipe`: its parts at the stage's strengths.
    """

    first: int
    last: int
    image_size: int
    regularization: float
    augmentation: str


def stages(recipe: Recipe, image_size: int) -> list[Stage]:
    """The stages of a training, equally long (the last ones by an epoch longer where that does not come out even).

    Args:
        recipe: How it trains.
        image_size: Height and width of the last stage's images, in pixels.
    """
    count, found = recipe.stages, []
    for number in range(count):
        grown = number / (count - 1) if count > 1 else 1.0
        share = recipe.initial_size + (1 - recipe.initial_size) * grown
        side = image_size if grown == 1 else max(MULTIPLE, MULTIPLE * round(image_size * share / MULTIPLE))
        regularization = recipe.initial_regularization + (1 - recipe.initial_regularization) * grown
        first, last = (place * recipe.epochs // count for place in (number, number + 1))
        augmentation = _scale_strengths(recipe.augmentation, regularization)
        found.append(Stage(first, last, min(side, image_size), regularization, augmentation))
    return found


def stage_of(epoch: int, recipe: Recipe, image_size: int) -> Stage:
    """The stage that an epoch, counted from 0, belongs to."""
    return next(stage for stage in stages(recipe, image_size) if epoch < stage.last)


def multi_size_model(model: Any, recipe: Recipe, image_size: int) -> Any:
    """A model around the same layers that takes the images of every stage, with `GrowingDropout` for Dropout.

    Args:
        model: A Keras 3 model for images of one size; with a single stage it is returned as it is.
        recipe: How it will be trained.
        image_size: Height and width of the last stage's images, in pixels.

    Raises:
        UserError: The model has layers for one size of images only, or is of tf_keras.
    """
    if recipe.stages == 1:
        return model
    if not isinstance(model, keras.Model):
        raise UserError("stages are for Keras 3 models; quantization-aware ones are tf_keras: leave stages at 1")
    places = {layer.name: place for place, layer in enumerate(model.layers)}

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(layer, keras.layers.Dropout):  # the kept model's must not be saved with the rate of a stage
            seed = recipe.seed + places[layer.name] if layer.seed is None else layer.seed
            layer = GrowingDropout(layer.rate, layer.noise_shape, seed, name=layer.name)
        return layer(*args, **kwargs)

    def around(side: int | None) -> Any:
        functional = keras.Model(model.inputs[0], model.outputs[0], name=model.name)
        image = keras.Input((side, side, 3))
        return keras.models.clone_model(functional, image, clone_function=lambda layer: layer, call_function=call)

    smallest = stages(recipe, image_size)[0].image_size
    if smallest == image_size:
        return around(image_size)
    try:
        around(smallest)  # some layers fit one size only, but cannot tell as long as the size is open
        return around(None)
    except ValueError as error:
        raise UserError(
            f"{model.name} cannot take images of {smallest}×{smallest}, as it has layers for one size only; "
            "give initial_size=1 or stages=1"
        ) from error


def start_stage(model: Any, stage: Stage) -> None:
    """Gives a model of `multi_size_model` the rates of a stage."""
    for layer in model.layers:
        if isinstance(layer, GrowingDropout):
            layer.share.assign(stage.regularization)


def relax_image_size(batches: tf.data.Dataset) -> tf.data.Dataset:
    """The same batches, their images' size left open: a step is traced once for all stages, which takes many steps'
    time, and is none the slower.
    """
    return batches.map(
        lambda images, *labels: (tf.compat.v1.placeholder_with_default(images, (None, None, None, 3)), *labels)
    )


class GrowingDropout(keras.layers.Dropout):
    """Dropout at a share of its rate that can be set between steps.

    Attributes:
        share: The variable, 0 to 1.
    """

    def build(self, input_shape: Any) -> None:
        """Makes the variable; the full rate at first."""
        self.share = self.add_weight(name="share", shape=(), initializer="ones", trainable=False)

    def call(self, inputs: Any, training: Any = False) -> Any:
        """Leaves out values while it trains, and scales the others up; Keras has this for constant rates only."""
        if not training or not self.rate:
            return inputs
        lengths, rate = ops.shape(inputs), self.rate * self.share
        wanted = zip(self.noise_shape or lengths, lengths, strict=True)
        shape = [have if want is None else want for want, have in wanted]
        kept = keras.random.uniform(shape, seed=self.seed_generator) >= rate
        return inputs * ops.cast(kept, inputs.dtype) / ops.cast(1 - rate, inputs.dtype)


def _scale_strengths(augmentation: str, share: float) -> str:
    """An augmentation with this share of the strengths that grow; what has none left is left out."""
    parts = augmentation_parts(augmentation)
    strengths = {name: share * (strength or 0) if name in GROWING else strength for name, strength in parts.items()}
    kept = [name if s is None else f"{name}:{s:g}" for name, s in strengths.items() if s != 0]
    return "+".join(kept) or "none"
