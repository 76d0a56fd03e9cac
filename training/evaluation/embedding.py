"""What a tower of CLIP says of texts and images: vectors of length 1 (Radford et al. 2021, arXiv:2103.00020)."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.pixels.batches import batches, check_images, to_input
from keras_mobilenets.pixels.preprocessing_layers import scaling_of
from keras_mobilenets.progress import track
from keras_mobilenets.training.evaluation.tokenizer import tokenizer_of

BATCH = 64


def embeddings(
    model: Any,
    data: Any,
    *,
    tokenizer: Any = None,
    templates: Sequence[str] = ("{}",),
    pixels: Any = None,
) -> np.ndarray:
    """Computes the vectors of texts or of images.

    Args:
        model: A text tower, such as `from_torch("mobileclip_s0_text", ...)`, or an image tower.
        data: For a text tower a list of texts, or their tokens (texts, context). For an image tower images in any form
            that `tflite.evaluate` takes, such as uint8 N×H×W×3, a folder, or what `load_data` returns.
        tokenizer: Of texts: path of CLIP's merges (`bpe_simple_vocab_16e6.txt.gz`) or of a `tokenizer.json`, or a
            function of a list of texts; None for the file of open_clip_torch, where that is installed.
        templates: Sentences around each text, such as "a photo of a {}."; the mean of their vectors counts (section
            3.1.4).
        pixels: What an image tower's input means, as in `tflite.convert`; by default the model says it.

    Returns:
        float32 (texts or images, channels), each of length 1.

    Raises:
        UserError: The tower takes other data, there is no tokenizer, or a template has no place for the text.
    """
    shape: tuple[Any, ...] = model.inputs[0].shape if len(getattr(model, "inputs", None) or ()) == 1 else ()
    if len(shape) == 2 and np.issubdtype(np.dtype(model.inputs[0].dtype), np.integer):
        return _of_texts(model, data, shape[1], tokenizer, templates)
    if len(shape) != 4:
        raise UserError(f"{getattr(model, 'name', model)} is no tower of one image or of the tokens of a text")
    return np.concatenate([_unit(rows) for rows in _of_images(model, data, pixels)])


def _of_texts(model: Any, data: Any, context: int, tokenizer: Any, templates: Sequence[str]) -> np.ndarray:
    if not isinstance(data, str) and np.asarray(data).dtype.kind in "iu":
        return _of_tokens(model, np.asarray(data), context)
    texts = [data] if isinstance(data, str) else list(data)
    if not texts or not all(isinstance(text, str) for text in texts):
        raise UserError(f"{model.name} takes a list of texts, or their tokens as integers (texts, {context})")
    if isinstance(templates, str) or not templates or not all("{}" in template for template in templates):
        raise UserError(
            f'templates={templates!r}: give sentences with a place for the text, such as ["a photo of a {{}}."]'
        )
    encode = tokenizer_of(tokenizer)
    sentences = [template.replace("{}", text) for text in texts for template in templates]
    vectors = _of_tokens(model, encode(sentences, context), context)
    return _unit(vectors.reshape(len(texts), len(templates), -1).mean(axis=1))


def _of_tokens(model: Any, tokens: np.ndarray, context: int) -> np.ndarray:
    most = model.get_layer("token_embedding").input_dim
    if tokens.ndim != 2 or tokens.shape[1] != context or not len(tokens):
        raise UserError(f"tokens have shape {tokens.shape}, but {model.name} takes (texts, {context})")
    if tokens.min() < 0 or tokens.max() >= most:
        raise UserError(
            f"a token is {tokens.max()}, but {model.name} knows {most}: take the tokenizer it was trained with"
        )
    parts = [tokens[first : first + BATCH] for first in range(0, len(tokens), BATCH)]
    return np.concatenate([_unit(model(part, training=False)) for part in track(parts, "embedding texts")])


def _of_images(model: Any, data: Any, pixels: Any) -> Iterator[Any]:
    scaling, shape = scaling_of(model, pixels), (1, *model.inputs[0].shape[1:])
    for images, _ in track(batches(data, shape), "embedding images"):
        given = (1, *(have or side for have, side in zip(shape[1:], images.shape[1:], strict=True)))
        check_images(images, given, model.name)
        yield model(to_input(images, scaling, model=model.name), training=False)


def _unit(vectors: Any) -> np.ndarray:
    rows = np.asarray(vectors, np.float32)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)
