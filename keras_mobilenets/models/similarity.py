"""Zero-shot classification: an image belongs to the label whose text is most like it.

Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision", arXiv:2103.00020 (CLIP),
section 3.1.2.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_mobilenets import blocks
from keras_mobilenets.errors import UserError, unknown

SCALE = 100.0  # CLIP's largest, which trainings end at (section 2.5)


def zero_shot(
    image_model: keras.Model, text_embeddings: Any, labels: Sequence[str] | None = None, *, scale: float = SCALE
) -> keras.Model:
    """Builds a classifier of an image tower and the vectors of its labels' texts.

    It is a functional model of plain layers, like any other classifier of this package: it trains, converts, and knows
    its labels, which `decode_predictions`, `convert` and `bundle` take from it.

    Args:
        image_model: Images to vectors, such as `from_torch("mobileclip_s0", ...)`; its layers are shared.
        text_embeddings: A vector for each label, as `training.embeddings` gives them, of any length but 0: an array
            (labels, channels) in the order of the labels, or {label: vector}.
        labels: Names of the classes, at least two; of a dictionary those that are wanted, all of it when not given.
        scale: What the cosines of image and text are multiplied by before the softmax.

    Returns:
        The Keras model: images to probabilities (batch, labels).

    Raises:
        UserError: A label is unknown, or given twice; labels and vectors differ in number; the vectors have another
            length than those of the image model; or that is no model of one vector.
    """
    names, vectors = _chosen(text_embeddings, labels)
    x = _embedding(image_model)
    if x.shape[-1] != vectors.shape[1]:
        raise UserError(
            f"text embeddings have {vectors.shape[1]} channels but {image_model.name} gives {x.shape[-1]}: take image "
            "and text tower of one checkpoint"
        )
    if not 0 < scale < float("inf"):
        raise UserError(f"scale={scale!r}: give a positive number, such as {SCALE:g}")
    scores = blocks.cosine_classifier(x, names, name="labels")
    model = keras.Model(image_model.inputs[0], scores, name=f"{image_model.name}_zero_shot")
    classifier = model.get_layer("labels")
    classifier.kernel.assign(blocks.cosine_kernel(vectors, scale))
    return model


def _chosen(embeddings: Any, labels: Sequence[str] | None) -> tuple[list[str], np.ndarray]:
    """Labels, and their vectors of length 1."""
    if isinstance(embeddings, Mapping):
        labels = list(embeddings) if labels is None else labels
        for label in labels:
            if label not in embeddings:
                raise unknown("label", label, list(embeddings), "text_embeddings")
        embeddings = [embeddings[label] for label in labels]
    if labels is None or isinstance(labels, str):
        raise UserError("labels: give a list of names, one for each text embedding")
    names = [str(label) for label in labels]
    try:
        vectors = np.asarray(embeddings, np.float64)
    except (TypeError, ValueError) as error:
        raise UserError("text embeddings are no array of numbers (labels, channels)") from error
    if vectors.ndim != 2 or len(vectors) != len(names) or len(names) < 2:
        raise UserError(
            f"{len(names)} labels come with text embeddings of shape {vectors.shape}; give two labels or more, and one "
            "vector for each"
        )
    twice = [name for place, name in enumerate(names) if name in names[:place]]
    if twice:
        raise UserError(f"label {twice[0]!r} is given twice; give each once")
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.isfinite(vectors).all() or not lengths.all():
        raise UserError("text embeddings hold NaN, infinite values or a vector of zeros")
    return names, vectors / lengths


def _embedding(model: Any) -> Any:
    """The output of an image tower."""
    if not isinstance(model, keras.Model) or len(model.inputs or ()) != 1 or len(model.outputs or ()) != 1:
        raise UserError(
            'image_model must be a Keras model of one image and one vector, such as from_torch("mobileclip_s0")'
        )
    (x,), last = model.outputs, model.layers[-1]
    if len(model.inputs[0].shape) != 4 or len(x.shape) != 2:
        raise UserError(f"{model.name} gives {x.shape} of {model.inputs[0].shape}, no vector of an image")
    if type(last).__name__ == "Softmax" or getattr(getattr(last, "activation", None), "__name__", "") == "softmax":
        raise UserError(f"{model.name} ends in a softmax: build it with classifier_activation=None")
    return x
