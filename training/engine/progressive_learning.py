"""Progressive learning: training starts with small images and weak regularization, and both grow in stages.

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
    """Epochs with the same image size and regularization.

    Attributes:
        first: The first epoch, from 0.
        last: The epoch after the last one.
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
    """The stages of a training, equally long; the last ones have an epoch more where the epochs do not divide evenly.

    Args:
        recipe: The training's recipe.
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
    """Builds a model of the same layers for the image sizes of all stages, with `GrowingDropout` for Dropout.

    Args:
        model: A Keras 3 model for images of one size; with a single stage it is returned as it is.
        recipe: How it will be trained.
        image_size: Height and width of the last stage's images, in pixels.

    Raises:
        UserError: The model has layers for one image size only, or is of tf_keras.
    """
    if recipe.stages == 1:
        return model
    if not isinstance(model, keras.Model):
        raise UserError("stages are for Keras 3 models; quantization-aware ones are tf_keras: leave stages at 1")
    places = {layer.name: place for place, layer in enumerate(model.layers)}

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(layer, keras.layers.Dropout):  # the saved model must not have the rate of a stage
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
        around(smallest)  # some layers fit one size only, but do not fail while the size is unknown
        return around(None)
    except ValueError as error:
        raise UserError(
            f"{model.name} cannot take images of {smallest}×{smallest}, as it has layers for one size only; "
            "give initial_size=1 or stages=1"
        ) from error


def start_stage(model: Any, stage: Stage) -> None:
    """Sets the dropout rates of a stage in a model from `multi_size_model`."""
    for layer in model.layers:
        if isinstance(layer, GrowingDropout):
            layer.share.assign(stage.regularization)


def relax_image_size(batches: tf.data.Dataset) -> tf.data.Dataset:
    """The same batches with unknown image size, so that the training step is traced once for all stages."""
    return batches.map(
        lambda images, *labels: (tf.compat.v1.placeholder_with_default(images, (None, None, None, 3)), *labels)
    )


class GrowingDropout(keras.layers.Dropout):
    """Dropout whose rate can be changed between steps.

    Attributes:
        share: Variable, 0 to 1: the factor on the rate.
    """

    def build(self, input_shape: Any) -> None:
        """Creates the variable; the full rate at first."""
        self.share = self.add_weight(name="share", shape=(), initializer="ones", trainable=False)

    def call(self, inputs: Any, training: Any = False) -> Any:
        """Inverted dropout; the Keras layer has it for constant rates only."""
        if not training or not self.rate:
            return inputs
        lengths, rate = ops.shape(inputs), self.rate * self.share
        wanted = zip(self.noise_shape or lengths, lengths, strict=True)
        shape = [have if want is None else want for want, have in wanted]
        kept = keras.random.uniform(shape, seed=self.seed_generator) >= rate
        return inputs * ops.cast(kept, inputs.dtype) / ops.cast(1 - rate, inputs.dtype)


def _scale_strengths(augmentation: str, share: float) -> str:
    """An augmentation with its growing strengths scaled; parts of strength 0 are left out."""
    parts = augmentation_parts(augmentation)
    strengths = {name: share * (strength or 0) if name in GROWING else strength for name, strength in parts.items()}
    kept = [name if s is None else f"{name}:{s:g}" for name, s in strengths.items() if s != 0]
    return "+".join(kept) or "none"
