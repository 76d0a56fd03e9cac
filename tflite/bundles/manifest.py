"""A bundle for the phone: a folder of models, class names, probes and labelled images, all named in its manifest.json.

The format is manifest.schema.json beside this module (JSON Schema 2020-12); android_demo's Bundle.kt reads the same.
"""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.files import read_json, sha256, write_json
from keras_mobilenets.tflite.bundles import boxes
from keras_mobilenets.tflite.bundles.boxes import DETECTION
from keras_mobilenets.tflite.bundles.consistency import contradiction
from keras_mobilenets.tflite.results import json_schema
from keras_mobilenets.training.evaluation.attribute_examination import TASK as ATTRIBUTES

SCHEMA = Path(__file__).with_name("manifest.schema.json")
SCHEMA_VERSION = 1
NAME = "manifest.json"
CREATOR = "keras_mobilenets"


@dataclass(frozen=True)
class TensorSpec:
    """A model's input or output: shape with the batch of 1 in front, dtype, scale (0 without one) and zero point.

    Of an input also mean and standard deviation, in pixels: what its values mean.
    """

    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int
    mean: tuple[float, ...] = (127.5,)
    std: tuple[float, ...] = (127.5,)


@dataclass(frozen=True)
class ImageSet:
    """`count` images of uint8 RGB in one file, and the class of each, its labels' numbers or its boxes.

    `labels` is empty when they are unknown.
    """

    path: str
    count: int
    height: int
    width: int
    labels: tuple[Any, ...]


@dataclass(frozen=True)
class Probes:
    """The first `count` images as the model's input tensors, and the host's outputs as float32."""

    count: int
    inputs: str
    outputs: str


@dataclass(frozen=True)
class Publication:
    """What others published of a model's network at its input size in its numbers: milliseconds of one image."""

    device: str
    runtime: str
    latency_ms: float
    source: str


@dataclass(frozen=True)
class BundledModel:
    """One .tflite of a bundle; the schema says what each value means. Unknown ones are None."""

    name: str
    path: str
    size_bytes: int
    gzip_bytes: int | None
    builder: str | None
    arguments: dict[str, Any]
    quantization: str | None
    compression: str | None
    target: str | None
    parameters: int | None
    macs: int | None
    sparsity: float | None
    nodes: int | None
    minimum_runtime: str | None
    nnapi_min_api_level: int | None
    input: TensorSpec
    output: TensorSpec
    labels: str
    images: str
    host_top1: float | None
    test_top1: float | None
    probes: Probes
    published: tuple[Publication, ...] = ()
    task: str = "classification"
    host_map: float | None = None
    test_map: float | None = None
    host_map50: float | None = None
    test_map50: float | None = None

    @property
    def values(self) -> int:
        """How many numbers it answers; `output` of a detector is of its boxes alone."""
        return boxes.values(self.output.shape[1]) if self.task == DETECTION else self.output.shape[-1]


@dataclass(frozen=True)
class Bundle:
    """What a bundle holds.

    Attributes:
        folder: Where it lies.
        name: To be shown.
        models: The models.
        images: The image sets that they are scored on.
        files: Path of every file but the manifest: its SHA-256.
    """

    folder: Path
    name: str
    models: tuple[BundledModel, ...]
    images: tuple[ImageSet, ...]
    files: dict[str, str] = field(repr=False)

    @property
    def size_bytes(self) -> int:
        """Of all files, as they travel to the phone."""
        return sum((self.folder / path).stat().st_size for path in (NAME, *self.files))

    def model(self, name: str) -> BundledModel:
        """A model by its name.

        Raises:
            UserError: There is none of that name.
        """
        found = next((model for model in self.models if model.name == name), None)
        if found is None:
            raise UserError(f"{self.folder} holds no model {name}: it has {', '.join(m.name for m in self.models)}")
        return found

    def class_names(self, model: BundledModel) -> list[str]:
        """What the model's outputs stand for."""
        return (self.folder / model.labels).read_text(encoding="utf-8").splitlines()

    def pictures(self, model: BundledModel) -> tuple[np.ndarray, np.ndarray | None]:
        """The images a model is scored on, uint8 N×H×W×3, and their labels where known.

        Labels are classes, rows of 0 and 1 of several labels, or tables of boxes N×M×6.
        """
        found = self._images(model)
        content = np.fromfile(self.folder / found.path, np.uint8)
        labels = None
        if found.labels and model.task == ATTRIBUTES:
            labels = np.zeros((found.count, model.output.shape[-1]), np.int64)
            for row, numbers in zip(labels, found.labels, strict=True):
                row[list(numbers)] = 1
        elif found.labels and model.task == DETECTION:
            labels = boxes.tables(found.labels)
        elif found.labels:
            labels = np.array(found.labels, np.int64)
        return content.reshape(found.count, found.height, found.width, 3), labels

    def probe_inputs(self, model: BundledModel) -> np.ndarray:
        """N×H×W×3 in the dtype of the model's input."""
        content = np.fromfile(self.folder / model.probes.inputs, _little_endian(model.input.dtype))
        return content.reshape(model.probes.count, *model.input.shape[1:])

    def probe_outputs(self, model: BundledModel) -> np.ndarray:
        """What the model answered to them here: N×values, float32, dequantized."""
        content = np.fromfile(self.folder / model.probes.outputs, _little_endian("float32"))
        return content.reshape(model.probes.count, -1)

    def _images(self, model: BundledModel) -> ImageSet:
        return next(images for images in self.images if images.path == model.images)


def write_manifest(bundle: Bundle) -> Path:
    """Writes manifest.json, checked against its schema first."""
    from keras_mobilenets import __version__

    content: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "name": bundle.name,
        "created_by": f"{CREATOR} {__version__}",
        "files": bundle.files,
        "images": [dataclasses.asdict(images) for images in bundle.images],
        "models": [dataclasses.asdict(model) for model in bundle.models],
    }
    for model in content["models"]:
        del model["output"]["mean"], model["output"]["std"]  # they are of images
    content = json.loads(json.dumps(content))  # tuples are arrays
    json_schema.check(content, SCHEMA, bundle.folder / NAME)
    return write_json(bundle.folder / NAME, content)


def read_bundle(folder: str | Path) -> Bundle:
    """Reads a bundle and checks it as the phone does: manifest against schema, every file against its SHA-256.

    Args:
        folder: As `bundle` made it.

    Returns:
        The `Bundle`.

    Raises:
        UserError: There is none, a file is missing, differs from the manifest or has the wrong size, or the manifest
            does not fit its schema or contradicts itself.
    """
    folder = Path(folder)
    path = folder / NAME
    if not path.is_file():
        raise UserError(f"{folder} is no bundle: it has no {NAME}; make one with keras-mobilenets android bundle")
    content = read_json(path)
    json_schema.check(content, SCHEMA, path)
    bundle = Bundle(
        folder,
        content["name"],
        tuple(_model(model) for model in content["models"]),
        tuple(ImageSet(**images | {"labels": _labels(images["labels"])}) for images in content["images"]),
        content["files"],
    )
    for name, digest in bundle.files.items():
        if not (folder / name).is_file():
            raise UserError(f"{folder} lacks {name}, which its manifest names; make the bundle again")
        if sha256(folder / name) != digest:
            raise UserError(
                f"{folder / name} is not the file of the manifest: its SHA-256 differs; make the bundle again"
            )
    problem = contradiction(bundle)
    if problem:
        raise UserError(f"{path} contradicts itself: {problem}; make the bundle again")
    return bundle


def _labels(content: list[Any]) -> tuple[Any, ...]:
    return tuple(_labels(each) if isinstance(each, list) else each for each in content)


def _model(content: dict[str, Any]) -> BundledModel:
    tensors = {side: _tensor(content[side]) for side in ("input", "output")}
    published = tuple(Publication(**each) for each in content.get("published", ()))
    return BundledModel(**content | tensors | {"probes": Probes(**content["probes"]), "published": published})


def _tensor(content: dict[str, Any]) -> TensorSpec:
    vectors: dict[str, Any] = {name: tuple(content[name]) for name in ("shape", "mean", "std") if name in content}
    return TensorSpec(**content | vectors)


def _little_endian(dtype: str) -> np.dtype:
    return np.dtype(dtype).newbyteorder("<")
