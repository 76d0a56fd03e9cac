"""What a model is calibrated and compared on: one array for each of its inputs."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.pixels.batches import first_labelled, to_input
from keras_mobilenets.pixels.scaling import PixelScaling
from keras_mobilenets.tflite.conversion.traced_graph import Input
from keras_mobilenets.tflite.runtime.input_scaling import is_pixels


class Samples(NamedTuple):
    """Samples of a model's inputs, ready for its float32 graph.

    Attributes:
        values: N×… for each input.
        labels: int64 class numbers, or None.
        ranges: For each input what pixels become, least and greatest; None where it takes no pixels.
        scaling: What the pixels of a model with one image input mean; None of any other.
    """

    values: list[np.ndarray]
    labels: np.ndarray | None
    ranges: list[tuple[float, float] | None]
    scaling: PixelScaling | None


def takes_one_image(inputs: Sequence[Input]) -> bool:
    """Whether a model takes an image N×H×W×C, or a clip, and nothing else."""
    return len(inputs) == 1 and is_pixels(inputs[0].name, inputs[0].shape)


def samples(
    data: Any, limit: int, inputs: Sequence[Input], scaling_of: Callable[[np.ndarray], PixelScaling], model: object
) -> Samples:
    """The first samples of data.

    Args:
        data: Images, as `first_labelled` takes them, for a model of one image input. Else arrays as the model takes
            them: a tuple in the order of its inputs, a dictionary by name, or one array; a pair of these and labels; or
            an iterable of these, with or without a batch axis, or a function that returns it.
        limit: At most this many, 1 or more.
        inputs: Those of the model.
        scaling_of: What pixels mean to a model of one image input, by some of its images.
        model: For the message.

    Raises:
        UserError: The data do not fit the inputs, or there are none.
    """
    if takes_one_image(inputs):
        images, classes = first_labelled(data, limit, inputs[0].shape)
        scaling = scaling_of(images)
        return Samples([to_input(images, scaling, model=model)], classes, [scaling.range], scaling)
    found: list[list[np.ndarray]] = []
    labels: list[np.ndarray] = []
    for arrays, given in _pieces(data() if callable(data) else data, inputs):
        found.append(arrays)
        labels += [] if given is None else [np.atleast_1d(given)]
        if sum(len(first) for first, *_ in found) >= limit:
            break
    if not found:
        raise UserError("there are no samples in the data; give at least one")
    joined = [np.concatenate(arrays)[:limit] for arrays in zip(*found, strict=True)]
    numbers = np.concatenate(labels)[:limit].reshape(-1).astype(np.int64) if labels else None
    return Samples(joined, numbers, [(0.0, 255.0) if source.is_pixels else None for source in inputs], None)


def _pieces(data: Any, inputs: Sequence[Input]) -> Iterator[tuple[list[np.ndarray], Any]]:
    """The arrays of the inputs, with labels where there are any, piece by piece."""
    arrays, labels = _arrays(data, inputs), None
    if arrays is None and isinstance(data, tuple) and len(data) == 2:
        arrays, labels = _arrays(data[0], inputs), data[1]
    if arrays is not None:
        yield arrays, labels
    elif isinstance(data, Iterable) and not isinstance(data, dict | str | np.ndarray):
        for item in data:
            arrays, labels = _arrays(item, inputs), None
            if arrays is None and isinstance(item, tuple | list) and len(item) == 2:
                arrays, labels = _arrays(item[0], inputs), item[1]
            if arrays is None:
                raise _misfit(inputs)
            yield arrays, labels
    else:
        raise _misfit(inputs)


def _arrays(item: Any, inputs: Sequence[Input]) -> list[np.ndarray] | None:
    """One array with a batch axis for each input; None where the item is something else."""
    if isinstance(item, dict):
        if any(source.name not in item for source in inputs):
            return None
        item = [item[source.name] for source in inputs]
    elif len(inputs) == 1 and hasattr(item, "__array__"):
        item = [item]
    if not isinstance(item, tuple | list) or len(item) != len(inputs):
        return None
    found = []
    for value, source in zip(item, inputs, strict=True):
        if not hasattr(value, "__array__"):
            return None
        array = np.asarray(value)
        if array.shape == source.shape[1:]:
            array = array[None]
        if array.shape[1:] != source.shape[1:]:
            return None
        found.append(_checked(array, source))
    if len({len(array) for array in found}) > 1:
        raise UserError(
            f"the inputs have {', '.join(str(len(array)) for array in found)} samples; give as many of each"
        )
    return found


def _checked(array: np.ndarray, source: Input) -> np.ndarray:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise UserError(f"the values of {source.name} hold NaN or infinite ones")
    if (
        source.dtype.startswith("float")
        and len(source.shape) == 4
        and array.dtype.kind in "iu"
        and not source.is_pixels
    ):
        raise UserError(
            f"{source.name} takes {source.dtype}: give its images as floats, scaled as the model was trained on them"
        )
    return array.astype(source.dtype)


def _misfit(inputs: Sequence[Input]) -> UserError:
    words = ", ".join(f"{source.name} {source.dtype} N×{'×'.join(map(str, source.shape[1:]))}" for source in inputs)
    return UserError(
        f"the samples do not fit the model, which takes {words}: give arrays of these shapes, in this order"
    )
