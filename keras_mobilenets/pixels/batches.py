"""Images on their way into a model: arrays or tf.data in batches, then each in the input's own dtype.

uint8 images are pixels and get scaled as `preprocess_input` does; float images are scaled already.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.pixels.scaling import preprocess_input

BATCH = 64


def batches(data: Any) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Yields batches of images and, where there are any, their labels.

    Args:
        data: N×H×W×C images (array), a pair (images, labels), or an iterable of batches of either, such as a tf.data
            pipeline (unbatched elements are taken too). Labels are class numbers, or one-hot rows.

    Yields:
        Images as an N×H×W×C array, and int64 labels of length N or None.

    Raises:
        UserError: There is no image, or images and labels differ in number.
    """
    empty = True
    for images, labels in _pieces(data):
        if images.ndim == 3:
            images, labels = images[None], None if labels is None else np.asarray(labels)[None]
        if images.ndim != 4:
            raise UserError(f"images have shape {images.shape}; give N×height×width×channels")
        if labels is not None:
            labels = _class_numbers(np.asarray(labels))
            if len(labels) != len(images):
                raise UserError(f"{len(images)} images come with {len(labels)} labels; give one label for each image")
        if len(images):
            empty = False
            yield images, labels
    if empty:
        raise UserError("there are no images in the data; give at least one")


def first_images(data: Any, limit: int, input_shape: Iterable[int]) -> Iterator[np.ndarray]:
    """Yields batches of the first images as floats that a model takes, for calibration.

    Args:
        data: As in `batches`.
        limit: At most this many images.
        input_shape: The model's input, 1×H×W×C.

    Yields:
        float32 N×H×W×C.

    Raises:
        UserError: The images do not fit the model, or there are none.
    """
    for images, _ in batches(data):
        check_images(images, input_shape, "the model")
        yield to_input(images[:limit], np.float32, (0.0, 0))
        limit -= len(images)
        if limit <= 0:
            return


def first_labelled(data: Any, limit: int, input_shape: Iterable[int]) -> tuple[np.ndarray, np.ndarray | None]:
    """The first images as one array of floats that a model takes, and their labels where there are any.

    Args:
        data: As in `batches`.
        limit: At most this many images, 1 or more.
        input_shape: The model's input, 1×H×W×C.

    Returns:
        float32 N×H×W×C, and int64 labels of length N or None.

    Raises:
        UserError: The images do not fit the model, or there are none.
    """
    images: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    for batch, batch_labels in batches(data):
        check_images(batch, input_shape, "the model")
        batch = batch[: limit - sum(map(len, images))]
        images.append(to_input(batch, np.float32, (0.0, 0)))
        labels += [] if batch_labels is None else [batch_labels[: len(batch)]]
        if sum(map(len, images)) >= limit:
            break
    return np.concatenate(images), np.concatenate(labels) if labels else None


def check_images(images: np.ndarray, input_shape: Iterable[int], path: object) -> None:
    """Refuses images that the model cannot take.

    Args:
        images: N×H×W×C.
        input_shape: The model's input, 1×H×W×C.
        path: The model, for the message.

    Raises:
        UserError: Height, width or channels differ, the model's batch is not 1, or floats are unscaled pixels.
    """
    shape = tuple(int(size) for size in input_shape)
    if len(shape) != 4 or shape[0] != 1:
        raise UserError(f"{path} takes input of shape {_times(shape)}; convert it for one image at a time (1×h×w×c)")
    if images.shape[1:] != shape[1:]:
        given = _times(images.shape[1:])
        raise UserError(f"images are {given} but {path} takes {_times(shape[1:])}; resize them or pick another model")
    if images.dtype.kind == "f":
        if not np.isfinite(images).all():
            raise UserError("the images hold NaN or infinite values")
        if images.max(initial=0) > 16:  # the widest scaling in use, mean and deviation, stays under 3
            raise UserError("float images hold pixels up to 255; pass them as uint8, or through preprocess_input")
    elif images.dtype.kind not in "iu" or images.min() < 0 or images.max() > 255:
        raise UserError(f"images are {images.dtype} and not pixels 0..255; pass uint8 pixels or scaled floats")


def to_input(images: np.ndarray, dtype: Any, quantization: tuple[float, int]) -> np.ndarray:
    """Turns images into what a model's input tensor holds.

    Args:
        images: Pixels 0..255 of an integer dtype, or floats already scaled to [−1, 1].
        dtype: Of the model's input: float32, int8 or uint8.
        quantization: Scale and zero point of the model's input; scale 0 means none.

    Returns:
        An array of `dtype` and of the shape of `images`. Where one step of the input is one step of a pixel (scale
        1/127.5 with −1 at the lowest value, as `convert` writes it), pixels pass through as pixel − 128 (pixel for
        uint8), and scaled floats land on the very same numbers.
    """
    dtype, (scale, zero_point) = np.dtype(dtype), quantization
    is_pixels = images.dtype.kind in "iu"
    if dtype.kind == "f":
        return (preprocess_input(images) if is_pixels else images).astype(dtype)
    if dtype.kind not in "iu" or scale == 0:
        raise UserError(f"the model's input is {dtype} without a scale; convert it with quantize='int8' or 'none'")
    lowest, highest = np.iinfo(dtype).min, np.iinfo(dtype).max
    # The middle pixel, 127.5, falls between two integers, so a converter rounds its zero point either way.
    if abs(scale * 127.5 - 1) < 0.01 and zero_point - lowest in (127, 128):
        pixels = images if is_pixels else np.rint((images.astype(np.float32) + 1) * np.float32(127.5))
        return np.clip(pixels.astype(np.int32) + lowest, lowest, highest).astype(dtype)
    scaled = preprocess_input(images) if is_pixels else images.astype(np.float32)
    return np.clip(np.rint(scaled / np.float32(scale)) + zero_point, lowest, highest).astype(dtype)


def _pieces(data: Any) -> Iterator[tuple[np.ndarray, Any]]:
    if isinstance(data, tuple) and len(data) == 2:
        images, labels = np.asarray(data[0]), np.asarray(data[1])
        if images.shape[:1] != labels.shape[:1]:
            raise UserError(f"{len(images)} images come with {labels.size} labels; give one label for each image")
        yield from ((images[i : i + BATCH], labels[i : i + BATCH]) for i in range(0, len(images), BATCH))
    elif isinstance(data, list) or hasattr(data, "__array__"):
        images = np.asarray(data)
        if images.ndim != 4:
            raise UserError(f"images have shape {images.shape}; give N×height×width×channels")
        yield from ((images[i : i + BATCH], None) for i in range(0, len(images), BATCH))
    elif isinstance(data, Iterable):
        for item in data:
            yield (np.asarray(item[0]), item[1]) if isinstance(item, tuple | list) else (np.asarray(item), None)
    else:
        raise UserError(f"data is a {type(data).__name__}; give images, (images, labels) or a tf.data pipeline of them")


def _class_numbers(labels: np.ndarray) -> np.ndarray:
    if labels.ndim == 2 and labels.shape[1] > 1:
        return labels.argmax(axis=1).astype(np.int64)
    return labels.reshape(-1).astype(np.int64)


def _times(shape: Iterable[int]) -> str:
    return "×".join(str(size) for size in shape)


def to_pixels(images: np.ndarray) -> np.ndarray:
    """Float images in [−1, 1] as uint8 pixels; what lies outside becomes black or white."""
    return np.rint(np.clip((images + 1) * 127.5, 0, 255)).astype(np.uint8)
