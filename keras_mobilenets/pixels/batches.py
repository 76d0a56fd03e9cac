"""Images on their way into a model: arrays or tf.data in batches, then each in the input's own dtype.

Integer images are pixels and get scaled as the model wants them (`scaling`); float images are scaled already.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.pixels import image_source
from keras_mobilenets.pixels.scaling import MINUS_ONE_TO_ONE, PixelScaling


def batches(
    data: Any, input_shape: Sequence[int] | None = None, *, several: bool = False
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Yields batches of images and, where there are any, their labels.

    Args:
        data: Images in any of the forms of `image_source.read`. Labels are class numbers, or one-hot rows.
        input_shape: As in `image_source.read`.
        several: Whether an image has several labels: then they are rows of 0 and 1.

    Yields:
        Images as an N×H×W×C array, clips as N×frames×H×W×C, and int64 labels of length N, or N×C of several, or None.

    Raises:
        UserError: There is no image, or images and labels differ in number.
    """
    for images, labels in _filled(data, input_shape):
        numbers = _rows if several else _class_numbers
        yield images, None if labels is None else numbers(labels, len(images))


def value_batches(
    data: Any, input_shape: Sequence[int], model: object, *, several: bool = False, integers: bool = False
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """As `batches`, for a model that takes no image: arrays of its input's shape, float32 or int32.

    Args:
        data: A pair of arrays, or values alone, or an iterable of these such as a tf.data pipeline.
        input_shape: The model's input, 1×….
        model: For the message.
        several: As in `batches`.
        integers: Whether the model takes integers, such as the numbers of items; else floats.

    Raises:
        UserError: There is nothing, the values do not fit or are not finite, or values and labels differ in number.
    """
    is_one = hasattr(data, "__array__") or (isinstance(data, tuple) and len(data) == 2)
    empty = True
    for piece in [data] if is_one else data:
        values, labels = piece if isinstance(piece, tuple) and len(piece) == 2 else (piece, None)
        values = np.asarray(values)
        is_kind = values.dtype.kind in ("iu" if integers else "f")
        if values.shape[1:] != tuple(input_shape[1:]) or not is_kind or not np.isfinite(values).all():
            given, kind = f"{values.dtype} N×{_times(values.shape[1:])}", "integers" if integers else "finite floats"
            raise UserError(f"{model} takes {kind} N×{_times(input_shape[1:])}, not {given}: give such values")
        numbers = None if labels is None else (_rows if several else _class_numbers)(labels, len(values))
        for start in range(0, len(values), image_source.BATCH):
            some, empty = slice(start, start + image_source.BATCH), False
            yield values[some].astype(np.int32 if integers else np.float32), None if numbers is None else numbers[some]
    if empty:
        raise UserError("there are no examples in the data; give at least one")


def first_labelled(data: Any, limit: int, input_shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray | None]:
    """The first images as one array, as they are, and their labels where there are any.

    Args:
        data: As in `batches`.
        limit: At most this many images, 1 or more.
        input_shape: The model's input, 1×H×W×C.

    Returns:
        N×H×W×C: integers 0..255, or finite floats; and int64 labels of length N or None.

    Raises:
        UserError: The images do not fit the model, or there are none.
    """
    images: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    for batch, beside in _filled(image_source.sample(data, limit), input_shape):
        check_images(batch, input_shape, "the model")
        # Masks, boxes and several labels an image are no class; calibration needs none.
        batch_labels = None if beside is None or _are_several(beside) else _class_numbers(beside, len(batch))
        batch = batch[: limit - sum(map(len, images))]
        images.append(batch)
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
        UserError: Height, width or channels differ, the model's batch is not 1, or the numbers are no image.
    """
    shape = tuple(int(size) for size in input_shape)
    if len(shape) not in (4, 5) or shape[0] != 1:
        raise UserError(f"{path} takes input of shape {_times(shape)}; convert it for one image at a time (1×h×w×c)")
    if images.shape[1:] != shape[1:]:
        given = _times(images.shape[1:])
        if images.shape[1:] == (shape[3], *shape[1:3]):
            raise UserError(f"images are channels first, {given}; give {_times(shape[1:])} by transpose(0, 2, 3, 1)")
        raise UserError(f"images are {given} but {path} takes {_times(shape[1:])}; resize them or pick another model")
    if images.dtype.kind == "f":
        if not np.isfinite(images).all():
            raise UserError("the images hold NaN or infinite values")
    elif images.dtype.kind not in "iu" or images.min() < 0 or images.max() > 255:
        raise UserError(f"images are {images.dtype} and not pixels 0..255; pass uint8 pixels or scaled floats")


def side_of(input_shape: Sequence[Any]) -> Any:
    """Height of the images, or of the frames of the clips, that a model takes; the length of another's input.

    Args:
        input_shape: With the batch.
    """
    return input_shape[-3] if len(input_shape) > 3 else input_shape[1]


def frames_of(input_shape: Sequence[Any]) -> int | None:
    """How many frames the clips have that a model takes; None of other inputs.

    Args:
        input_shape: With the batch.
    """
    return int(input_shape[1]) if len(input_shape) == 5 else None


def to_input(
    images: np.ndarray,
    scaling: PixelScaling,
    dtype: Any = np.float32,
    quantization: tuple[float, int] = (0.0, 0),
    model: object = "the model",
) -> np.ndarray:
    """Turns images into what a model's input tensor holds.

    Args:
        images: N×H×W×C pixels 0..255 of an integer dtype, or floats that are scaled already.
        scaling: What the values of the model's input mean.
        dtype: Of the model's input: a float, int8 or uint8.
        quantization: Scale and zero point of the model's input; scale 0 means none.
        model: For the message.

    Returns:
        An array of `dtype` and of the shape of `images`.

    Raises:
        UserError: Floats lie outside of the model's range, or its input has a dtype that images do not become.
    """
    dtype = np.dtype(dtype)
    if images.dtype.kind not in "iu":
        scaling.check(images, model)
    if dtype.kind in "iu" and quantization[0] == 0 and scaling.range == (0, 255) and dtype != np.int8:
        return np.clip(np.rint(images), 0, 255).astype(dtype)  # pixels as they are
    return quantize(scaling.values(images) if images.dtype.kind in "iu" else images, dtype, quantization)


def quantize(values: np.ndarray, dtype: Any, quantization: tuple[float, int]) -> np.ndarray:
    """Scaled values as an input tensor stores them.

    Args:
        values: Floats of any shape.
        dtype: As in `to_input`.
        quantization: As in `to_input`.

    Returns:
        An array of `dtype`. Where one step of the input is one step of a pixel (scale 1/127.5 with −1 at the lowest
        value, as `convert` writes it), pixel p is stored as p − 128 (p for uint8).
    """
    dtype, (scale, zero_point) = np.dtype(dtype), quantization
    if dtype.kind == "f":
        return values.astype(dtype)
    if dtype.kind not in "iu" or scale == 0:
        raise UserError(f"the model's input is {dtype} without a scale; convert it with quantize='int8' or 'none'")
    lowest, highest = np.iinfo(dtype).min, np.iinfo(dtype).max
    values = values.astype(np.float32)
    # The middle pixel, 127.5, falls between two integers, so a converter rounds its zero point either way.
    if abs(scale * 127.5 - 1) < 0.01 and zero_point - lowest in (127, 128):
        pixels = np.rint((values + 1) * np.float32(127.5))
        return np.clip(pixels.astype(np.int32) + lowest, lowest, highest).astype(dtype)
    return np.clip(np.rint(values / np.float32(scale)) + zero_point, lowest, highest).astype(dtype)


def _filled(data: Any, input_shape: Sequence[int] | None) -> Iterator[tuple[np.ndarray, Any]]:
    """The batches that hold an image."""
    empty = True
    for images, labels in image_source.read(data, input_shape):
        if len(images):
            empty = False
            yield images, labels
    if empty:
        raise UserError("there are no images in the data; give at least one")


def _class_numbers(labels: Any, count: int) -> np.ndarray:
    try:
        numbers = np.asarray(labels)
        if numbers.ndim == 2 and numbers.shape[1] > 1:
            rows, numbers = numbers, numbers.argmax(axis=1)
            if ((rows == rows.max(axis=1, keepdims=True)).sum(axis=1) > 1).any():
                raise ValueError("rows of several classes, or of none")
        if numbers.dtype.kind == "f" and not (numbers % 1 == 0).all():
            raise ValueError("not whole")
        numbers = numbers.reshape(-1).astype(np.int64)
    except (ValueError, TypeError) as error:
        raise UserError(
            "labels are no class numbers, one for each image; give integers or one-hot rows, or several=True"
        ) from error
    if len(numbers) != count:
        raise UserError(f"{count} images come with {len(numbers)} labels; give one label for each image")
    return numbers


def _are_several(labels: Any) -> bool:
    """Whether labels are no class numbers nor one-hot rows, but have several classes or none for each image."""
    if np.ndim(labels) != 2:
        return np.ndim(labels) > 2
    rows = np.asarray(labels)
    return rows.dtype.kind in "iub" and rows.shape[1] > 1 and bool((rows.sum(axis=1) != 1).any())


def _rows(labels: Any, count: int) -> np.ndarray:
    rows = np.asarray(labels)
    if rows.ndim != 2 or rows.dtype.kind not in "iubf" or not np.isin(rows, (0, 1)).all():
        raise UserError("labels are no rows of 0 and 1; give one for each class and image: 1 where the image has it")
    if len(rows) != count:
        raise UserError(f"{count} images come with {len(rows)} labels; give a row of labels for each image")
    return rows.astype(np.int64)


def _times(shape: Iterable[int]) -> str:
    return "×".join(str(size) for size in shape)


def to_pixels(images: np.ndarray, scaling: PixelScaling = MINUS_ONE_TO_ONE) -> np.ndarray:
    """Float images, by default those of −1..1, as uint8 pixels; what lies outside becomes black or white."""
    return np.rint(np.clip(scaling.pixels(images), 0, 255)).astype(np.uint8)
