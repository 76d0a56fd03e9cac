"""A run folder and the steps that fill it. Each step skips what is there and was made from the same things.

run.json records what was asked and from which model each .tflite was made; results.json, by SHA-256, which of them the
figures belong to.
"""

import contextlib
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from keras_mobilenets import files
from keras_mobilenets.errors import UserError
from keras_mobilenets.lock import locked
from keras_mobilenets.tflite.results.tables import COMPRESSIONS

QUANTIZE = {"float32": "none", "float16": "float16", "dynamic": "dynamic", "int8": "int8"}  # file suffix: for `convert`
SHOWN = 24  # test images kept for the report's grid
VARIANTS = tuple(COMPRESSIONS)  # made from a run's model, each in its own folder
QUANTIZED = ("qat", "pqat", "cqat")  # these know their ranges, and have the layers of what they are made from
MADE_FROM = {"pqat": "prune", "cqat": "cluster"}  # the others from the run's own model
CALIBRATION_SEED = 0
# What a row says of a model before it is timed.
KNOWN_BEFORE = ("compression", "gzip_size_mb", "sparsity", "parameters", "macs", "top1", "max_abs_err")

Step = TypeVar("Step", bound=Callable[..., Any])


def _alone(step: Step) -> Step:
    """A step that writes into the run folder: it is refused while another process trains or works there."""

    @functools.wraps(step)
    def alone(run: "Run", *args: Any, **kwargs: Any) -> Any:
        with locked(run.folder) if (run.folder / "run.json").exists() else contextlib.nullcontext():
            return step(run, *args, **kwargs)

    return alone  # type: ignore[return-value]


class Run:
    """A run folder.

    Attributes:
        folder: Its path.
    """

    def __init__(self, folder: str | Path, results_file: str | Path | None = None) -> None:
        """Takes the folder; it need not exist yet. `results_file` takes the place of its results.json."""
        self.folder = Path(folder)
        self.results_file = Path(results_file) if results_file else self.folder / "results.json"

    @property
    def model_file(self) -> Path:
        """The trained Keras model."""
        return self.folder / "model.keras"

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

    def record(self, key: str, value: Any) -> None:
        """Puts one entry into run.json."""
        files.write_json(self.folder / "run.json", self.asked | {key: value})

    def tflite_files(self) -> list[Path]:
        """The .tflite files, float32 first.

        Raises:
            UserError: There are none.
        """
        found = sorted(self.folder.glob("*.tflite"))
        if not found:
            raise UserError(f"{self.folder} holds no .tflite files; run keras-mobilenets convert {self.folder}")
        return sorted(found, key=self._place)

    def data(self, name: str | None = None, data_dir: str | None = None) -> Any:
        """Opens the data of the run's training, or other data of the same image size.

        Raises:
            UserError: The run does not say what it was trained on.
        """
        from keras_mobilenets import training

        settings = self.asked.get("data")
        if settings is None:
            raise UserError(f"{self.folder} has no run.json that names its data; give a folder that `train` made")
        data_dir = data_dir or self.asked.get("data_dir")
        return training.load_data(name or settings["name"], settings["image_size"], settings["batch_size"], data_dir)

    def train(
        self,
        builder: str,
        arguments: dict[str, Any],
        data: dict[str, Any],
        recipe: Any,
        teacher: dict[str, Any] | None = None,
        transfer: dict[str, Any] | None = None,
        checkpoint_seconds: float | None = None,
    ) -> None:
        """Trains into the folder, or goes on with a training that was stopped.

        Args:
            builder: Name of the model's builder.
            arguments: The builder's, without input shape and classes.
            data: Arguments of `load_data`.
            recipe: A `Recipe`.
            teacher: Arguments of `distill`; None to train on the labels alone.
            transfer: Where the weights come from, and arguments of `fine_tune`; None to train from scratch.
            checkpoint_seconds: As in `fit`; None for its default.
        """
        import dataclasses

        asked = {"builder": builder, "arguments": arguments, "data": data, "recipe": dataclasses.asdict(recipe)}
        if teacher:
            asked["teacher"] = teacher
        if transfer:
            asked["transfer"] = transfer
        from keras_mobilenets.training.distribution import broadcast

        if broadcast.from_first(lambda: self.asked.get("train") == asked and self.model_file.exists()):
            return
        import keras

        import keras_mobilenets as km
        from keras_mobilenets import training

        keras.utils.set_random_seed(recipe.seed)
        source = training.load_data(**data)
        size, settings = data["image_size"], dict(transfer or {})
        shape = {"input_shape": (size, size, 3), "classes": len(source.class_names)}
        weights = settings.pop("weights", None)
        if weights:
            model = training.pretrained(builder, weights, **shape, **arguments)
        else:
            model = km.create_model(builder, **shape, **arguments)
        how = {} if checkpoint_seconds is None else {"checkpoint_seconds": checkpoint_seconds}
        with locked(self.folder):
            if "recipe" in self.asked:  # what `fit` cannot see
                there = {"weights": self.asked.get("weights")}
                files.refuse_other(self.folder, "training that started from", there, {"weights": weights})
            elif weights:
                self.record("weights", weights)
            if teacher:
                training.distill(model, data=source, recipe=recipe, run_dir=self.folder, **teacher, **how)
            elif weights:
                training.fine_tune(model, source, recipe, self.folder, **settings, **how)
            else:
                training.fit(model, source, recipe, self.folder, **how)
            self.record("data_dir", data.get("data_dir"))
            self.record("train", asked)  # the last line of a finished training

    @_alone
    def convert(
        self,
        quantizations: Sequence[str],
        count: int,
        target: str,
        data: Any = None,
        how: dict[str, Any] | None = None,
    ) -> list[Path]:
        """Writes a .tflite for each quantization, and an int8 one for each variant.

        Args:
            quantizations: Of "float32", "float16", "dynamic", "int8".
            count: Training images to calibrate on; drawn at random with seed 0, recorded in run.json with a SHA-256.
            target: As in `tflite.convert`.
            data: Where calibration images come from; the run's own data when not given.
            how: Arguments of `tflite.convert` for int8 files that are calibrated.

        Returns:
            The files.
        """
        from keras_mobilenets.files import sha256

        if not self.model_file.exists():
            raise UserError(f"{self.folder} holds no model.keras; run keras-mobilenets train --run {self.folder}")
        recorded, models, images, paths = self.asked.get("convert", {}), {}, None, []
        made_from = {variant: sha256(self.model_of(variant)) for variant in ("", *self.variants())}
        for variant, quantization in [("", q) for q in quantizations] + [(v, "int8") for v in self.variants()]:
            path = self.folder / "_".join(filter(None, [self._stem(), variant, f"{quantization}.tflite"]))
            paths.append(path)
            settings: dict[str, Any] = {"model_sha256": made_from[variant], "quantize": quantization}
            calibrated = quantization == "int8" and variant not in QUANTIZED
            if quantization == "int8":
                settings["target"] = target
            if calibrated:
                name = data.name if data else self.asked.get("data", {}).get("name")
                drawn = {"data": name, "split": "train", "images": count, "seed": CALIBRATION_SEED}
                settings |= {"calibration": drawn} | (how or {})
            if path.exists() and _without_found(recorded.get(path.name, {})) == settings | {"sha256": sha256(path)}:
                continue
            from keras_mobilenets import tflite
            from keras_mobilenets.training.compression.model_loader import load_model

            if variant not in models:
                models[variant] = load_model(self.model_of(variant))
            if calibrated and images is None:
                images, _ = (data or self.data()).images("train", count, seed=CALIBRATION_SEED)
            tflite.convert(
                models[variant],
                path,
                quantize=QUANTIZE[quantization],
                target=target,
                **({"calibration": images, "calibration_images": count} | (how or {}) if calibrated else {}),
            )
            if calibrated:
                settings["found"] = _found(path, images)
            recorded = recorded | {path.name: settings | {"sha256": sha256(path)}}
            self.record("convert", recorded)
        return paths

    @_alone
    def layer_errors(self, limit: int = 64) -> list[Any]:
        """Compares the activations of each int8 file with its float model's, into layer_errors.json.

        Args:
            limit: Validation images; drawn at random with seed 0.

        Returns:
            A `tflite.LayerErrors` for each file.

        Raises:
            UserError: There is no int8 file.
        """
        from keras_mobilenets import tflite

        paths = [path for path in self.tflite_files() if self._quantization(path) == "int8"]
        if not paths:
            raise UserError(f"{self.folder} holds no int8 file; run keras-mobilenets convert {self.folder}")
        images, _ = self.data().images("validation", limit, seed=CALIBRATION_SEED)
        found = [tflite.layer_errors(self.model_of(self._variant(path)), path, images, limit) for path in paths]
        for errors in found:
            errors.save(self.folder / "layer_errors.json")
        return found

    def sensitivity(self, by: str, limit: int = 64) -> Any:
        """As `tflite.sensitivity`, of the run's model on validation images with their labels."""
        from keras_mobilenets import tflite

        if not self.model_file.exists():
            raise UserError(f"{self.folder} holds no model.keras; run keras-mobilenets train --run {self.folder}")
        images = self.data().images("validation", limit, seed=CALIBRATION_SEED)
        return tflite.sensitivity(self.model_file, images, limit=limit, by=by)

    @_alone
    def evaluate(self, data: Any = None) -> list[Any]:
        """Scores every .tflite, and the Keras model they came from, on the test split.

        Returns:
            The rows of results.json.
        """
        rows = self.rows()
        if all(row.top1 is not None for row in rows):
            return rows
        from keras_mobilenets import tflite
        from keras_mobilenets.tflite.measurement.accuracy import max_abs_err

        data = data or self.data()
        images, labels = data.images("test")
        kept = {}
        known: dict[str, tuple[dict[str, int], Any]] = {}
        for variant in ("", *self.variants()):
            # Quantization-aware training leaves the layers as they are; its model is one of tf_keras.
            figures = known.get(MADE_FROM.get(variant, ""), ({}, None))[0] if variant in QUANTIZED else None
            known[variant] = self._known(variant, data, figures)
        for path in self.tflite_files():
            result = tflite.evaluate(path, (images, labels))
            kept[path.stem] = result.predictions[:SHOWN]
            figures, expected = known.get(self._variant(path), ({}, None))
            figures = figures | {"top1": result.top1}
            if expected is not None:
                figures["max_abs_err"] = max_abs_err(result, expected)
            rows = [row.with_(**figures) if row.model == path.stem else row for row in rows]
        tflite.save_predictions(self.folder / "predictions.npz", images[:SHOWN], labels[:SHOWN], data.class_names, kept)
        self.write(rows)
        return rows

    def _known(self, variant: str, data: Any, figures: dict[str, int] | None) -> tuple[dict[str, int], Any]:
        """Parameters and multiply-adds of a model, counted where not given, and what it says of the test images."""
        from keras_mobilenets import cost
        from keras_mobilenets.training.compression.model_loader import load_model

        if not self.model_of(variant).exists():
            return {}, None
        model = load_model(self.model_of(variant))
        if figures is None:
            counted = cost(model)
            figures = {"parameters": counted.parameters, "macs": counted.macs}
        return figures, model.predict(data.test, verbose=0)

    @_alone
    def benchmark(self, threads: Sequence[int], again: bool = False, *, peers: bool = False) -> list[Any]:
        """Times every .tflite on this machine, in turns.

        Args:
            threads: Numbers of CPU threads; each gives rows of its own.
            again: Whether to measure what was measured before.
            peers: Whether the stock models (keras.applications' through the stock converter) take turns too; their
                files and rows go into the folder `peers`.

        Returns:
            The rows of results.json, then those of the stock models.
        """
        from keras_mobilenets import tflite
        from keras_mobilenets.tflite.measurement.latency import with_macs
        from keras_mobilenets.tflite.measurement.stock_models import with_stock_ratios
        from keras_mobilenets.tflite.results.results import environment, write_results

        rows, stock_results = self.rows(), self.folder / "peers" / "results.json"
        todo = [count for count in threads if again or not self._is_timed(rows, count, peers)]
        if todo:
            files, stock = self.tflite_files(), self.convert_stock_models() if peers else []
            timed = tflite.benchmark([*files, *stock], threads=todo, limit=True)
            mine = [row for row in timed if row.model in {path.stem for path in files}]
            others = [row for row in timed if row not in mine]
            for row in with_stock_ratios(mine, others):
                same = next(known for known in rows if known.model == row.model)
                known = {key: value for key in KNOWN_BEFORE if (value := getattr(same, key)) is not None}
                rows = [r for r in rows if r.model != row.model or r.threads not in (None, row.threads)]
                rows.append(with_macs(row, known.get("macs")).with_(**known))
            self.write(rows)
            if stock:
                write_results(stock_results, others, environment(stock))
        return self._ordered(rows) + (tflite.read_results(stock_results).rows if peers else [])

    def _is_timed(self, rows: Sequence[Any], threads: int, peers: bool) -> bool:
        """Whether every file was measured with so many threads, beside its stock model where asked."""
        timed = [row for row in rows if row.threads == threads and row.median_ms is not None]
        compared = all(row.peer_ratio for row in timed) if peers else True
        return compared and {row.model for row in timed} >= {path.stem for path in self.tflite_files()}

    def convert_stock_models(self) -> list[Path]:
        """Converts keras.applications' counterpart of the run's model, as its .tflite files are quantized.

        Raises:
            UserError: The run does not say what its model is, or there is no counterpart.
        """
        from keras_mobilenets.tflite.measurement.stock_models import convert_stock_models
        from keras_mobilenets.tflite.runtime.interpreter import open_model

        asked = self.asked.get("train")
        if asked is None:
            raise UserError(f"{self.folder} has no run.json that names its model: --peers needs the folder of a run")
        opened = [open_model(path) for path in self.tflite_files()]
        size, classes = int(opened[0].input["shape"][1]), int(opened[0].output["shape"][-1])
        kinds = [model.quantization() for model in opened]
        return convert_stock_models(self.folder / "peers", asked["builder"], asked["arguments"], size, classes, kinds)

    def _stem(self) -> str:
        """What the .tflite files are called before their quantization: the model's name."""
        return self.asked.get("model", {}).get("name") or self.model_file.stem

    def rows(self) -> list[Any]:
        """The rows of results.json that still belong to the files, and an empty row for each other file."""
        from keras_mobilenets.files import sha256
        from keras_mobilenets.tflite.results.results import Row, read_results

        path = self.results_file
        rows: list[Row] = []
        paths = self.tflite_files()
        if path.exists():
            results = read_results(path)
            measured = results.environment.get("model_sha256", {})
            valid = {p.stem for p in paths if measured.get(p.name) == sha256(p)}
            rows = [row for row in results.rows if row.model in valid]
        have = {row.model for row in rows}
        return self._ordered(rows + [self._row(p) for p in paths if p.stem not in have])

    def _row(self, path: Path) -> Any:
        """What a file says of itself."""
        from keras_mobilenets.tflite.results.results import Row
        from keras_mobilenets.tflite.targets.inspection import sizes

        found = sizes(path)
        return Row(
            path.stem,
            quantization=self._quantization(path),
            compression=self._variant(path) or None,
            model_size_mb=round(found.size_bytes / 1e6, 6),
            gzip_size_mb=round(found.gzip_bytes / 1e6, 6),
            sparsity=found.sparsity,
        )

    def _quantization(self, path: Path) -> str | None:
        return next((QUANTIZE[suffix] for suffix in QUANTIZE if path.stem.endswith(suffix)), None)

    def _variant(self, path: Path) -> str:
        return next((variant for variant in VARIANTS if path.stem.endswith(f"_{variant}_int8")), "")

    def _place(self, path: Path) -> tuple[int, int]:
        """Where a file stands in a table: the variants behind the plain ones, float32 first."""
        variant, order = self._variant(path), list(QUANTIZE.values())
        quantization = self._quantization(path)
        return (
            VARIANTS.index(variant) + 1 if variant else 0,
            order.index(quantization) if quantization else len(order),
        )

    def _ordered(self, rows: list[Any]) -> list[Any]:
        order = [path.stem for path in self.tflite_files()]
        return sorted(rows, key=lambda row: (row.threads or 0, order.index(row.model)))

    def write(self, rows: list[Any]) -> None:
        """Writes results.json, with the hashes of the files that the rows are about."""
        from keras_mobilenets.tflite.results.results import environment, write_results

        write_results(self.results_file, self._ordered(rows), environment(self.tflite_files()))


def _found(path: Path, images: Any) -> dict[str, Any]:
    """What is known after a conversion only: which images they were, and which layers stayed in float."""
    import hashlib

    from keras_mobilenets.tflite.graph.layer_names import float_layers

    return {
        "images_sha256": hashlib.sha256(images.tobytes()).hexdigest(),
        "float_layers": float_layers(path.read_bytes()),
    }


def _without_found(recorded: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in recorded.items() if key != "found"}
