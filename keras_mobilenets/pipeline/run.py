"""A run: its folder with every step that fills it, and all of them in order."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from keras_mobilenets.models.catalog import builder_named
from keras_mobilenets.pipeline import (
    accuracy,
    adoption,
    architecture_search,
    compression,
    conversion,
    estimates,
    explanation,
    latency,
    model,
    quantization_error,
)
from keras_mobilenets.pipeline.deployment import exports, publication
from keras_mobilenets.pipeline.folder import RunFolder
from keras_mobilenets.plurals import count

Announce = Callable[[str], object]  # called with a line on what is done next


def silent(line: str) -> None:
    """Announces nothing."""


class Outcome(NamedTuple):
    """What `Run.pipeline` ends with.

    Attributes:
        rows: The rows of results.json, those that are estimated at the end.
        page: The report.
    """

    rows: list[Any]
    page: Path


class Run(RunFolder):
    """A run folder with the steps that fill it. Each skips what is there and was made from the same things.

        run = Run("runs/photos")
        run.train("MobileNetV2", {"alpha": 0.5}, data="photos", image_size=96, changes={"epochs": 5})
        run.compress("qat")
        run.convert(["float32", "int8"])
        run.evaluate()
        rows = run.benchmark()

    `adopt` takes the place of `train` for a model that was trained elsewhere.

    Attributes:
        folder: Its path.
        results_file: Its results.json.
    """

    search = architecture_search.search
    train = model.train
    distill = model.distill
    adopt = adoption.adopt
    compress = compression.compress
    convert = conversion.convert
    evaluate = accuracy.evaluate
    benchmark = latency.benchmark
    estimate = estimates.estimate
    agreements = estimates.agreements
    export = exports.export
    node_data = exports.node_data
    layer_errors = quantization_error.layer_errors
    sensitivity = quantization_error.sensitivity
    push = publication.push
    explain = explanation.explain
    examine = explanation.examine

    def report(self, out: str | Path | None = None) -> Path:
        """Writes the page about the run; `out` takes the place of its report.html."""
        from keras_mobilenets import tflite

        return tflite.report(self.folder, out)

    def pipeline(
        self,
        builder: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        compress: Mapping[str, int | None] | None = None,
        sparsity: float = 0.75,
        macs: float = 0.5,
        quantize: Sequence[str] = conversion.USUAL,
        calibration: int = conversion.CALIBRATION,
        target: str = "nnapi",
        int8: Mapping[str, Any] | None = None,
        threads: Sequence[int] = (1,),
        on: Sequence[str] | None = None,
        announce: Announce = silent,
        **training: Any,
    ) -> Outcome:
        """Trains, compresses, converts, evaluates, benchmarks, estimates and reports; skips what is there already.

        Args:
            builder: Name of the model's builder.
            arguments: The builder's, without input shape and classes.
            compress: Kinds of compression with their epochs, such as {"qat": None, "prune": 2}; None stands for the
                usual number. "ptq" adds "int8" to `quantize`.
            sparsity: Of "prune": share of zeros, 0 to 1.
            macs: Of "channels": share of the multiply-adds that remains, 0 to 1.
            quantize: As in `convert`.
            calibration: As in `convert`.
            target: As in `convert`.
            int8: Arguments of `tflite.convert` for calibrated int8 files, such as {"equalize": True}.
            threads: As in `benchmark`.
            on: Targets, as in `estimate`; int8 files that they run are compared with the reference kernels. None for
                what is usual: TensorFlow Lite Micro for what hears, where it is installed.
            announce: Called with a line before each step.
            **training: Further arguments of `train`, such as data="photos".

        Returns:
            The rows of results.json and the report.

        Raises:
            UserError: An argument cannot work, or the folder holds another run.
        """
        kinds = compression.in_order(compress or {})
        if "ptq" in kinds:
            del kinds["ptq"]
            quantize = list(dict.fromkeys([*quantize, "int8"]))
        given = {"prune": {"sparsity": sparsity}, "channels": {"macs": macs}}
        network = builder_named(builder)
        targets, said = estimates.asked_targets(on, network.kind)
        data, size = training.get("data", "shapes"), training.get("image_size")
        steps = 5 + len(kinds) + bool(targets)
        numbers = (f"{number}/{steps}" for number in range(1, steps + 1))
        size = model.usual_size(data, arguments) if size is None else size
        announce(f"{next(numbers)} train {builder} on {data} at {size} {network.unit} into {self.folder}")
        self.train(builder, arguments, **training)
        for kind, epochs in kinds.items():
            length = count(epochs or compression.usual_epochs(self, kind), "epoch")
            announce(f"{next(numbers)} {compression.KINDS[kind].description} for {length}")
            self.compress(kind, given.get(kind), {"epochs": epochs} if epochs else {})
        announce(f"{next(numbers)} convert to {', '.join([*quantize, *kinds])}")
        self.convert(quantize, calibration, target, **int8 or {})
        announce(f"{next(numbers)} evaluate on the test split")
        self.evaluate()
        announce(f"{next(numbers)} benchmark on {', '.join(map(str, threads))} CPU thread(s)")
        rows = self.benchmark(threads)
        if targets:
            announce(f"{next(numbers)} ask {', '.join(targets)}")
            self.estimate(targets)
        announce(f"{next(numbers)} report")
        outcome = Outcome(rows + self.estimates(), self.report())
        for line in said + self.agreements(targets):
            announce(line)
        return outcome
