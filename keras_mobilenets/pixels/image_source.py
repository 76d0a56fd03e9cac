"""The forms in which people have images for a model: arrays, pipelines, generators, data sets, files.

Elements are read one at a time and no further than asked for, so that generators may be endless and are read once.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.pixels.folder_layout import image_files
from keras_mobilenets.pixels.image_decoder import BitDepth, read_image, why_unreadable
from keras_mobilenets.tensors import detached

BATCH = 64
Batch = tuple[np.ndarray, Any]  # images N×H×W×C, and what stands beside them: labels or None
FORMS = (
    "give images, (images, labels), a folder or image files, what load_data returns, or an iterable of batches of these"
)


def read(data: Any, input_shape: Sequence[int] | None = None) -> Iterator[Batch]:
    """Yields batches of images and what stands beside them.

    Args:
        data: Images: an array N×H×W×C or H×W×C (a tensor of any framework, a PIL image); a pair of images and labels,
            also with sample weights; a dictionary of images under any name and labels under "label" or "labels"; a
            folder of images; image files; what `training.load_data` returns, whose test images are read; or an iterable
            of these, such as a tf.data pipeline, a data loader or a list; or a function that returns it, as TensorFlow
            Lite's converter takes it, with its elements [images].
        input_shape: The model's input, 1×H×W×C. Files need it, and grey images without channels; clips, which are
            N×frames×H×W×C.

    Yields:
        Images as an N×H×W×C array of numbers; labels as they are, or None.

    Raises:
        UserError: The data are, or an element is, none of these.
    """
    if isinstance(data, str | Path):
        data = image_files(Path(data))
    elif callable(data) and not _is_array(data) and not isinstance(data, Iterable):
        data = data()
    elif hasattr(data, "pixels") and hasattr(data, "class_names"):
        data = data.pixels("test")
    if _is_list_of_files(data):
        yield from _read_files(data, input_shape)
        return
    whole = _whole(data, _axes(input_shape))
    if whole is not None:
        images, labels = _split(whole, input_shape)
        if labels is not None and len(labels) != len(images):
            raise UserError(f"{len(images)} images come with {len(labels)} labels; give one label for each image")
        for first in range(0, len(images), BATCH):
            part = slice(first, first + BATCH)
            yield images[part], None if labels is None else np.asarray(labels)[part]
        return
    for element in _elements(data):
        if isinstance(element, str | Path):
            yield from _read_files([element], input_shape)
        else:
            yield _split(element, input_shape)


def sample(data: Any, limit: int) -> Any:
    """What `read` shall read to calibrate: of a folder and of a data set's training images, a random sample (seed 0).

    Args:
        data: As in `read`.
        limit: Number of images.

    Returns:
        As many images in one of the forms of `read`; of pipelines and arrays, the data as they are.
    """
    if isinstance(data, str | Path):
        files = image_files(Path(data))
        return [files[index] for index in np.random.default_rng(0).permutation(len(files))[:limit]]
    if hasattr(data, "pixels") and hasattr(data, "class_names"):
        return data.images("train", limit, seed=0)
    return data


def _axes(input_shape: Sequence[int] | None) -> int:
    """Of a batch: five of clips."""
    return 4 if input_shape is None else len(input_shape)


def _whole(data: Any, axes: int) -> Any:
    """Data that are one element, in memory; None where they are to be iterated."""
    if _is_array(data) or isinstance(data, Mapping):
        return data
    if isinstance(data, tuple) and len(data) in (2, 3) and np.ndim(data[0]) == axes:
        return data
    if isinstance(data, list):
        try:
            array = np.asarray(data)
        except (ValueError, TypeError):  # of unequal shapes, such as [images, labels]
            is_pair = len(data) == 2 and _is_array(data[0]) and np.ndim(data[0]) == axes and np.ndim(data[1]) < 3
            return tuple(data) if is_pair else None
        if array.dtype.kind in "fiub" and array.ndim in (axes, axes + 1):  # images, or lists of one with a batch axis
            return array.reshape(-1, *array.shape[1 - axes :])
    return None


def _elements(data: Any) -> Iterator[Any]:
    if isinstance(data, Iterable):
        for element in data:  # noqa: UP028 - `yield from` would close a generator of the caller's
            yield element
    elif hasattr(data, "__getitem__") and hasattr(data, "__len__"):  # keras.utils.PyDataset, data sets of PyTorch
        yield from (data[index] for index in range(getattr(data, "num_batches", None) or len(data)))
    else:
        raise UserError(f"data is a {type(data).__name__}; {FORMS}")


def _split(element: Any, input_shape: Sequence[int] | None) -> Batch:
    """The images of an element, and what stands beside them."""
    labels = None
    while isinstance(element, tuple | list | Mapping):
        if isinstance(element, Mapping):
            element, beside = _of_mapping(element, _axes(input_shape))
        elif len(element) in (1, 2, 3):
            element, beside = element[0], element[1] if len(element) > 1 else None
        else:
            raise UserError(f"an element of the data has {len(element)} parts for a model of one input; {FORMS}")
        labels = beside if labels is None else labels
    images = _numbers(element)
    if images.ndim > 2 and _is_array(labels) and np.shape(detached(labels)) == images.shape:
        raise UserError("an element of the data holds two images, but the model has one input; give images and labels")
    if images.ndim != _axes(input_shape):
        return _with_batch_axis(images, labels, input_shape)
    return images, np.reshape(labels, 1) if labels is not None and np.ndim(labels) == 0 else labels


def _with_batch_axis(images: np.ndarray, labels: Any, input_shape: Sequence[int] | None) -> Batch:
    """One image H×W×C, or grey images H×W and N×H×W of a model of one channel, as N×H×W×C; one clip likewise."""
    if _axes(input_shape) == 5:
        if images.ndim != 4:
            raise UserError(f"clips have shape {images.shape}; give N×frames×height×width×channels")
        return images[None], None if labels is None else _numbers(labels)[None]
    if input_shape is not None and input_shape[-1] == 1 and images.shape[-2:] == tuple(input_shape[1:3]):
        if images.ndim == 3 and images.shape[-1] != 1:
            return images[..., None], labels
        if images.ndim == 2:
            images = images[..., None]
    if images.ndim != 3:
        raise UserError(f"images have shape {images.shape}; give N×height×width×channels")
    return images[None], None if labels is None else _numbers(labels)[None]


def _of_mapping(element: Mapping[str, Any], axes: int) -> tuple[Any, Any]:
    """Images and labels of a dictionary: of the first, there is one entry of three dimensions or more."""
    found = [name for name, value in element.items() if np.ndim(detached(value)) in (axes - 1, axes)]
    if len(found) != 1:
        raise UserError(
            f"an element of the data has {', '.join(map(str, element))}, of which {len(found)} hold images; give one"
        )
    return element[found[0]], next((element[name] for name in ("label", "labels") if name in element), None)


def _numbers(value: Any) -> np.ndarray:
    try:
        array = np.asarray(detached(value))
    except (ValueError, TypeError) as error:
        raise UserError(f"an element of the data is a {type(value).__name__} that is no array; {FORMS}") from error
    if array.dtype.name == "bfloat16":
        return array.astype(np.float32)
    if array.dtype.kind not in "fiub":
        raise UserError(f"an element of the data is a {type(value).__name__} of {array.dtype}, no images; {FORMS}")
    return array


def _is_array(data: Any) -> bool:
    return hasattr(data, "__array__") or hasattr(data, "__array_interface__")


def _is_list_of_files(data: Any) -> bool:
    return isinstance(data, list | tuple) and bool(data) and all(isinstance(item, str | Path) for item in data)


def _read_files(files: Sequence[str | Path], input_shape: Sequence[int] | None) -> Iterator[Batch]:
    read_file = _file_reader(files, input_shape)
    images = []
    for file in files:
        try:
            images.append(read_file(file))
        except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError and others for damaged files
            warnings.warn(f"skipped {file}: {why_unreadable(error)}", stacklevel=2)
        if len(images) == BATCH:
            yield np.stack(images), None
            images = []
    if images:
        yield np.stack(images), None


def _file_reader(files: Sequence[str | Path], input_shape: Sequence[int] | None) -> Callable[[str | Path], np.ndarray]:
    """A function from a file to uint8 pixels H×W×C of the model's size: resized, the centre cropped."""
    if input_shape is None or len(input_shape) != 4:
        raise UserError("image files need a model of a fixed image size; give arrays")
    _, height, width, channels = input_shape
    if height != width or channels not in (1, 3):
        raise UserError(
            f"image files are read as squares in colour or grey, not {height}×{width}×{channels}; give arrays"
        )
    depth = BitDepth(str(Path(files[0]).parent), files)

    def read_file(file: str | Path) -> np.ndarray:
        pixels = read_image(file, height, depth)
        if channels == 3:
            return pixels
        return np.rint(pixels @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)[..., None]  # luma (BT.601)

    return read_file
