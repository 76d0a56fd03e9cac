"""A run folder: its models, its .tflite files, run.json and the rows of results.json.

run.json records what was asked and from which model each .tflite was made; results.json, by SHA-256, which of them the
figures belong to.
"""

import contextlib
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from keras_mobilenets import files
from keras_mobilenets.errors import UserError
from keras_mobilenets.lock import locked
from keras_mobilenets.plurals import listed
from keras_mobilenets.tflite.results.tables import COMPRESSIONS, compression_of, split

QUANTIZE = {"float32": "none", "float16": "float16", "dynamic": "dynamic", "int8": "int8"}  # file suffix: for `convert`
VARIANTS = tuple(COMPRESSIONS)  # made from a run's model, each in its own folder
SEED = 0  # of the images that are drawn to calibrate on and to compare activations on

Step = TypeVar("Step", bound=Callable[..., Any])


class RunFolder:
    """What lies in a run folder.

    Attributes:
        folder: Its path.
        results_file: Its results.json.
    """

    def __init__(self, folder: str | Path, results_file: str | Path | None = None) -> None:
        """Takes the folder; it need not exist yet. `results_file` takes the place of its results.json."""
        self.folder = Path(folder)
        self.results_file = Path(results_file) if results_file else self.folder / "results.json"

    @property
    def model_file(self) -> Path:
        """The trained Keras model."""
        return self.folder / "model.keras"

    def trained_model_file(self) -> Path:
        """The trained Keras model, which is there.

        Raises:
            UserError: There is none.
        """
        if not self.model_file.exists():
            raise UserError(f"{self.folder} holds no model.keras; run keras-mobilenets train --run {self.folder}")
        return self.model_file

    def model_of(self, variant: str = "") -> Path:
        """The model of a variant, such as "qat"; of the run itself when it is empty."""
        return self.folder / variant / "model.keras"

    def variants(self) -> list[str]:
        """The variants that have been made."""
        return [variant for variant in VARIANTS if self.model_of(variant).exists()]

    @property
    def asked(self) -> dict[str, Any]:
        """The content of run.json; empty when there is none."""
        return files.read_record(self.folder)

    @property
    def pixels(self) -> str | None:
        """What its models' inputs mean: as the user said, or as they were trained; None where neither is known."""
        return self.asked.get("pixels") or self.asked.get("model", {}).get("pixels")

    def say_pixels(self, pixels: str) -> None:
        """Records what its models' inputs mean, which is not what they say.

        Raises:
            UserError: `scaling.said` does not know it, or the folder holds no model.
        """
        from keras_mobilenets.pixels.scaling import said

        said(pixels)
        self.trained_model_file()
        self.record("pixels", pixels)

    def record(self, key: str, value: Any) -> None:
        """Puts one entry into run.json."""
        files.write_json(self.folder / "run.json", self.asked | {key: value})

    def data(self, name: str | None = None, data_dir: str | None = None) -> Any:
        """Opens the data of the run's training, or other data of the same image size.

        Raises:
            UserError: The run does not say what it was trained on, or its classes are others.
        """
        from keras_mobilenets import training
        from keras_mobilenets.graphs.class_names import same_classes
        from keras_mobilenets.pixels.scaling import said

        settings = self.asked.get("data")
        if settings is None and "adopted" in self.asked:
            file = self.asked["adopted"]["file"]
            raise UserError(f"{self.folder} does not know its data: give {file} --data DATA --run {self.folder}")
        if settings is None:
            raise UserError(f"{self.folder} has no run.json that names its data; give a folder that `train` made")
        data_dir = data_dir or self.asked.get("data_dir")
        source = name or settings["name"]
        size, frames = settings["image_size"], settings.get("frames")
        data = training.load_data(source, size, settings["batch_size"], data_dir, frames=frames)
        known = settings.get("class_names")
        if known and not same_classes(known, data.class_names):
            raise UserError(
                f"{source} has the classes {listed(data.class_names)}, and {self.folder} was trained on"
                f" {listed(known)}: give data of the same classes in the same order"
            )
        if "pixels" in self.asked:
            return data.scaled(said(self.asked["pixels"]))
        return data.scaled(data.kind.scaling_of(self.asked.get("model", {})))

    def tflite_files(self) -> list[Path]:
        """The .tflite files, float32 first.

        Raises:
            UserError: There are none.
        """
        found = sorted(self.folder.glob("*.tflite"))
        if not found:
            raise UserError(f"{self.folder} holds no .tflite files; run keras-mobilenets convert {self.folder}")
        return sorted(found, key=_place)

    def tflite_file(self, variant: str, quantization: str) -> Path:
        """Where a conversion goes; it begins with the model's name."""
        stem = self.asked.get("model", {}).get("name") or self.model_file.stem
        return self.folder / "_".join(filter(None, [stem, variant, f"{quantization}.tflite"]))

    def rows(self) -> list[Any]:
        """The measured rows of results.json that still belong to the files, and an empty row for each other file."""
        rows, _ = split(self._known_rows())
        have = {row.model for row in rows}
        return self.ordered(rows + [_row(p) for p in self.tflite_files() if p.stem not in have])

    def estimates(self) -> list[Any]:
        """The estimated rows of results.json that still belong to the files."""
        return self.ordered(split(self._known_rows())[1])

    def _known_rows(self) -> list[Any]:
        from keras_mobilenets.tflite.results.results import read_results

        if not self.results_file.exists():
            return []
        results = read_results(self.results_file)
        measured = results.environment.get("model_sha256", {})
        valid = {path.stem for path in self.tflite_files() if measured.get(path.name) == files.sha256(path)}
        return [row for row in results.rows if row.model in valid]

    def ordered(self, rows: list[Any]) -> list[Any]:
        """Rows by their number of threads, then as their files."""
        order = [path.stem for path in self.tflite_files()]
        return sorted(rows, key=lambda row: (row.threads or 0, order.index(row.model)))

    def write(self, rows: list[Any], estimates: list[Any] | None = None) -> None:
        """Writes results.json, with the hashes of the files that the rows are about.

        Args:
            rows: The measured ones.
            estimates: The estimated ones; those that are there when not given.
        """
        from keras_mobilenets.tflite.results.results import environment, write_results

        kept = self.estimates() if estimates is None else self.ordered(estimates)
        write_results(self.results_file, self.ordered(rows) + kept, environment(self.tflite_files()))


def alone(step: Step) -> Step:
    """A step that writes into the run folder: it is refused while another process trains or works there."""

    @functools.wraps(step)
    def locked_step(run: RunFolder, *args: Any, **kwargs: Any) -> Any:
        with locked(run.folder) if (run.folder / "run.json").exists() else contextlib.nullcontext():
            return step(run, *args, **kwargs)

    return locked_step  # type: ignore[return-value]


def quantization_of(path: Path) -> str | None:
    """How the name of a .tflite file says that it is quantized, as in results.json; None when it does not."""
    return next((QUANTIZE[suffix] for suffix in QUANTIZE if path.stem.endswith(suffix)), None)


def variant_of(path: Path) -> str:
    """The variant that a .tflite file was made from; empty for the run's own model."""
    return compression_of(path) or ""


def _place(path: Path) -> tuple[int, int]:
    """Where a file stands in a table: the variants behind the plain ones, float32 first."""
    variant, order = variant_of(path), list(QUANTIZE.values())
    quantization = quantization_of(path)
    return (
        VARIANTS.index(variant) + 1 if variant else 0,
        order.index(quantization) if quantization else len(order),
    )


def _row(path: Path) -> Any:
    """What a file says of itself."""
    from keras_mobilenets.tflite.results.results import Row
    from keras_mobilenets.tflite.targets.inspection import sizes

    found = sizes(path)
    return Row(
        path.stem,
        quantization=quantization_of(path),
        compression=variant_of(path) or None,
        model_size_mb=round(found.size_bytes / 1e6, 6),
        gzip_size_mb=round(found.gzip_bytes / 1e6, 6),
        sparsity=found.sparsity,
    )
