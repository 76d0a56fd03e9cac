"""Models, class names, probes and labelled images in one folder, for the Android demo (format: manifest.py)."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_mobilenets.costs.latencies import of_network
from keras_mobilenets.errors import UserError
from keras_mobilenets.files import atomic_folder, listed, refuse_strangers
from keras_mobilenets.pixels.batches import to_input
from keras_mobilenets.pixels.scaling import MINUS_ONE_TO_ONE, PixelScaling
from keras_mobilenets.tflite.bundles import boxes, manifest
from keras_mobilenets.tflite.bundles.candidates import NOT_A_NAME, Candidate, candidates, names
from keras_mobilenets.tflite.bundles.manifest import (
    ATTRIBUTES,
    DETECTION,
    Bundle,
    BundledModel,
    ImageSet,
    Probes,
    Publication,
    TensorSpec,
)
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.graph.metadata import metadata_of
from keras_mobilenets.tflite.measurement.accuracy import evaluate
from keras_mobilenets.tflite.results.tables import compression_of
from keras_mobilenets.tflite.runtime.input_scaling import scaling_of_file, takes_image
from keras_mobilenets.tflite.runtime.interpreter import open_model
from keras_mobilenets.tflite.runtime.model import Model
from keras_mobilenets.tflite.targets.inspection import inspect
from keras_mobilenets.tflite.targets.nnapi import check_nnapi

_SEED = 0  # of the draw of labelled images
_LEVELS = range(27, 32)  # Android API levels at which NNAPI's delegate learned operators


def bundle(
    sources: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    images: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    class_names: Sequence[str] | None = None,
    probes: int = 4,
    labelled: int = 200,
    title: str | None = None,
    pixels: Any = None,
) -> Path:
    """Writes a bundle: what the app needs to time the models and to check that they answer as they do here.

    Args:
        sources: Run folders, all of whose .tflite files go in, or .tflite files; one or several.
        out: The folder to make. A bundle that is there already is replaced once the new one is complete.
        images: uint8 N×H×W×3 to score the models on. Default: of the test split of the run's data; where there is no
            run that names its data, coloured noise, whose classes are unknown.
        labels: Their classes, N numbers; N×classes of 0 and 1 where an image has several; tables of boxes N×M×6 for
            detectors, as `load_data` gives them; None when unknown.
        class_names: What the classes are called. Default: as in the run, or in the file's metadata; else "class 0",
            "class 1", ...
        probes: How many inputs to record the host's outputs for, 1 or more.
        labelled: How many test images to draw (fewer when there are fewer), 1 or more.
        title: Name of the bundle; by default the folder's.
        pixels: What the inputs mean of files that do not say it, as in `evaluate`.

    Returns:
        The folder.

    Raises:
        UserError: There is no model, one is damaged or is no classifier of images, data cannot be found or does not
            fit, or the folder holds something else.
    """
    if probes < 1 or labelled < 1:
        raise UserError(f"probes={probes}, labelled={labelled}: give 1 or more")
    given = candidates([sources] if isinstance(sources, str | Path) else sources)
    own = None if images is None else _checked(images, labels)
    refuse_strangers(Path(out), listed(Path(out), manifest.NAME), "bundle")
    with atomic_folder(Path(out)) as folder:
        writer = _Writer(folder, probes, labelled, own, class_names, pixels)
        models = [writer.add(each, name) for each, name in zip(given, names(given), strict=True)]
        shown = NOT_A_NAME.sub(" ", title or Path(out).resolve().name).strip()[:100] or "bundle"
        manifest.write_manifest(Bundle(folder, shown, tuple(models), tuple(writer.sets.values()), writer.files))
    return Path(out)


class _Writer:
    """Puts files into the folder, equal ones once."""

    def __init__(
        self,
        folder: Path,
        probes: int,
        labelled: int,
        own: tuple[np.ndarray, np.ndarray | None] | None,
        class_names: Sequence[str] | None,
        pixels: Any,
    ) -> None:
        self.files: dict[str, str] = {}
        self.sets: dict[str, ImageSet] = {}
        self._folder, self._probes, self._labelled = folder, probes, labelled
        self._own, self._class_names, self._said = own, class_names, pixels
        self._pictures: dict[Any, tuple[np.ndarray, np.ndarray | None]] = {}

    def add(self, given: Candidate, name: str) -> BundledModel:
        """Scores a model, and writes it with its images and probes.

        Raises:
            UserError: It takes no image, cannot be run, or its data do not fit it.
        """
        if not takes_image(given.path):
            raise UserError(f"{given.path} takes no image, and the app shows images: leave it out")
        model = open_model(given.path)
        images, labels = self._images(given, model)
        scaling = scaling_of_file(given.path, self._said)
        task = _task(given, labels)
        data = images if labels is None else (images, labels)
        result = evaluate(given.path, data, pixels=scaling, several=task == ATTRIBUTES)
        count, source = min(self._probes, len(images)), _spec(model.input, scaling)
        inputs = to_input(images[:count], scaling, model.input["dtype"], model.input["quantization"], given.path)
        if task == DETECTION:
            answers, classes = boxes.answers(model, inputs), result.classes
        else:
            answers, classes = result.predictions[:count], result.predictions.shape[1]
        found, row = inspect(given.path), given.row
        trained, converted = given.run.get("train", {}), given.run.get("convert", {}).get(given.path.name, {})
        size = f"{source.shape[2]}x{source.shape[1]}"
        return BundledModel(
            name=name,
            path=self._put(f"models/{name}.tflite", given.path.read_bytes()),
            size_bytes=found.size_bytes,
            gzip_bytes=found.gzip_bytes,
            builder=trained.get("builder"),
            arguments=trained.get("arguments", {}),
            quantization=row.quantization or model.quantization(),
            compression=row.compression or compression_of(given.path),
            target=converted.get("target"),
            parameters=row.parameters,
            macs=row.macs,
            sparsity=found.sparsity,
            nodes=len(found.operators),
            minimum_runtime=found.minimum_runtime or None,
            nnapi_min_api_level=next((level for level in _LEVELS if check_nnapi(given.path, level).is_whole), None),
            input=source,
            output=_spec(model.outputs[0]),
            labels=self._put("labels.txt", self._names_of(given, classes)),
            images=self._image_set(images, labels, size),
            host_top1=result.figures.get("top1"),
            test_top1=row.top1,
            probes=Probes(
                count,
                inputs=self._put(f"probes/{source.dtype}_{size}.bin", _bytes(inputs)),
                outputs=self._put(f"probes/{name}.bin", _bytes(answers)),
            ),
            published=_published(given, row.quantization or model.quantization(), source),
            task=task,
            host_map=result.figures.get("map"),
            test_map=row.map,
            host_map50=result.figures.get("map50"),
            test_map50=row.map50,
        )

    def _images(self, given: Candidate, model: Model) -> tuple[np.ndarray, np.ndarray | None]:
        if self._own is not None:
            return self._own
        height, width = (int(side) for side in model.input["shape"][1:3])
        key = (given.data.get("name"), given.run.get("data_dir"), height, width)
        if key not in self._pictures:
            self._pictures[key] = self._test_images(given) if key[0] else (noise(self._probes, height, width), None)
        return self._pictures[key]

    def _test_images(self, given: Candidate) -> tuple[np.ndarray, np.ndarray]:
        from keras_mobilenets import training

        data = training.load_data(given.data["name"], given.data["image_size"], data_dir=given.run.get("data_dir"))
        return data.images("test", self._labelled, seed=_SEED)

    def _names_of(self, given: Candidate, classes: int) -> bytes:
        said = metadata_of(given.path.read_bytes())
        own = given.data.get("class_names") or (said and said.labels)
        names = self._class_names or own or [f"class {number}" for number in range(classes)]
        if len(names) != classes:
            raise UserError(f"{given.path} has {classes} classes, and {len(names)} class names are given")
        return "".join(f"{' '.join(str(name).split()) or '–'}\n" for name in names).encode()

    def _image_set(self, images: np.ndarray, labels: np.ndarray | None, size: str) -> str:
        path = self._put(f"images/{size}.bin", _bytes(images))
        listed: tuple[Any, ...] = () if labels is None else tuple(map(_listed, labels))
        made = ImageSet(path, len(images), images.shape[1], images.shape[2], listed)
        if self.sets.setdefault(path, made) != made:
            raise UserError("the same images have other labels in another run; make a bundle of each")
        return path

    def _put(self, path: str, content: bytes) -> str:
        """Writes a file; another content under the same path gets a number behind its name."""
        digest, (stem, dot, ending) = hashlib.sha256(content).hexdigest(), path.rpartition(".")
        number = 1
        while self.files.setdefault(path, digest) != digest:
            number += 1
            path = f"{stem}_{number}{dot}{ending}"
        target = self._folder / path
        if not target.exists():
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(content)
        return path


def noise(count: int, height: int, width: int) -> np.ndarray:
    """Images of coloured noise, no two alike in tone, always the same ones: uint8 count×height×width×3."""
    images = np.empty((count, height, width, 3), np.uint8)
    for number, image in enumerate(images):
        rng = np.random.default_rng([_SEED, number])
        image[:] = np.clip(rng.uniform(0, 255, 3) + rng.normal(0, 60, image.shape), 0, 255)
    return images


def _published(given: Candidate, quantization: str | None, source: TensorSpec) -> tuple[Publication, ...]:
    """What others published of the network, in the words that it was published in."""
    trained = given.run.get("train", {})
    if not trained.get("builder") or compression_of(given.path) == "channels":
        return ()
    return tuple(
        Publication(each.device, f"{each.runtime}, {each.precision}", each.latency_ms, each.source)
        for each in of_network(trained["builder"], trained.get("arguments", {}))
        if each.quantization == quantization and source.shape[1:3] == (each.input_size, each.input_size)
    )


def _task(given: Candidate, labels: np.ndarray | None) -> str:
    """What a model's outputs are, by the file and the labels of its images."""
    detects = flatbuffer.detects(flatbuffer.read(given.path.read_bytes(), given.path))
    if labels is not None and detects != (labels.ndim == 3):
        said = "boxes" if detects else "classes"
        raise UserError(f"{given.path} gives {said}, and the labels of its images are of another task")
    if detects:
        return DETECTION
    several = given.data.get("task") == ATTRIBUTES if labels is None else labels.ndim == 2
    return ATTRIBUTES if several else "classification"


def _listed(label: np.ndarray) -> Any:
    """A class, the numbers of the labels of a row of 0 and 1, or the boxes of a table."""
    if np.ndim(label) == 0:
        return int(label)
    return tuple(np.flatnonzero(label).tolist()) if np.ndim(label) == 1 else boxes.rows(label)


def _checked(images: np.ndarray, labels: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3 or not len(images):
        raise UserError(f"images are {images.dtype} of shape {images.shape}; give uint8 pixels N×height×width×3")
    if labels is None:
        return images, None
    axes, are_boxes = np.ndim(labels), np.shape(labels)[2:] == (boxes.COLUMNS,)
    if not (axes in (1, 2) or are_boxes) or len(labels) != len(images):
        raise UserError(f"{len(images)} images come with labels of shape {np.shape(labels)}; give one for each image")
    return images, np.asarray(labels, np.float32 if are_boxes else np.int64)


def _spec(details: dict[str, Any], scaling: PixelScaling = MINUS_ONE_TO_ONE) -> TensorSpec:
    scale, zero_point = details["quantization"]
    shape = tuple(int(size) for size in details["shape"])
    return TensorSpec(shape, np.dtype(details["dtype"]).name, float(scale), int(zero_point), scaling.mean, scaling.std)


def _bytes(values: np.ndarray) -> bytes:
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()
