"""The search of a network for a target: the target's table of operators, the search, the page."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_mobilenets.pipeline.folder import RunFolder

CALIBRATION_NETWORKS = 10  # whole networks that a table of operators is compared with


def search(
    run: RunFolder,
    *,
    data: str = "shapes",
    image_size: int | None = None,
    data_dir: str | None = None,
    target: str = "xnnpack",
    max_ms: float | None = None,
    max_macs: float | None = None,
    max_parameters: float | None = None,
    max_size_bytes: float | None = None,
    max_memory_bytes: float | None = None,
    method: str = "one-shot",
    candidates: int = 200,
    table: str | Path | None = None,
    **options: Any,
) -> Any:
    """Searches a network for a target within a budget into the folder, or goes on with a search that was stopped.

    Args:
        run: The folder: search.json, candidates.jsonl, measured.jsonl, front.json, spec.json and report.html come
            into it.
        data: "shapes", a TFDS name, or a folder of class folders.
        image_size: Side of the images in pixels; None for what is usual of the data.
        data_dir: Where TFDS data sets are kept.
        target: What shall run the network: a name in `operator_latency.TARGETS`.
        max_ms: Latency at most, one thread, int8: what is found was converted and measured.
        max_macs: Multiply-adds at most.
        max_parameters: Parameters at most.
        max_size_bytes: Bytes of int8 weights at most.
        max_memory_bytes: Bytes of int8 activations alive at once at most.
        method: As in `training.search`.
        candidates: As in `training.search`.
        table: File of measured operators; by default one for all runs in the user's cache folder.
        **options: Further arguments of `training.search`, such as seed=1.

    Returns:
        What `training.search` returns.

    Raises:
        UserError: Nothing fits the budget, the target has no table, or the folder holds another search.
    """
    from keras_mobilenets import training
    from keras_mobilenets.costs.operators import operators, spec_cost
    from keras_mobilenets.models.mobilenets.searched import mobilenet_v2_spec
    from keras_mobilenets.pipeline.model import usual_size
    from keras_mobilenets.tflite.measurement.operator_latency import OperatorLatencies, default_path
    from keras_mobilenets.tflite.reports.search_page import search_page
    from keras_mobilenets.training.architecture_search.budget import Budget
    from keras_mobilenets.training.architecture_search.search import check
    from keras_mobilenets.training.architecture_search.space import mobile_space

    check(method, candidates)
    budget = Budget(max_ms, max_macs, max_parameters, max_size_bytes, max_memory_bytes)
    latencies = OperatorLatencies(table or default_path(target), target)
    source = training.load_data(data, usual_size(data) if image_size is None else image_size, data_dir=data_dir)
    space, classes = options.pop("space", None) or mobile_space(source.image_size), len(source.class_names)
    stopwatch = Stopwatch(latencies, classes)
    if latencies.error is None:
        fit_table(latencies, space, stopwatch)

    found = training.search(
        source,
        space,
        budget,
        method,
        candidates=candidates,
        latency=latencies,
        stopwatch=stopwatch,
        run_dir=run.folder,
        **options,
    )
    size = found.spec.input_size
    published = {f"MobileNetV2 {alpha}": mobilenet_v2_spec(alpha, size) for alpha in (0.35, 0.5, 0.75, 1.0)}
    beside = {
        name: spec_cost(spec, classes, found.correction * latencies.ms(operators(spec, classes)))
        for name, spec in published.items()
    }
    title = f"A network for {source.name} on {target}" + (f" within {budget}" if str(budget) else "")
    search_page(found, run.folder / "report.html", title, beside)
    return found


def fit_table(
    latencies: Any, space: Any, stopwatch: "Stopwatch", count: int = CALIBRATION_NETWORKS, seed: int = 0
) -> float:
    """Compares a table of operators with whole networks of a space, converted and measured here.

    Args:
        latencies: The table, an `OperatorLatencies`.
        space: Where the networks are from.
        stopwatch: What measures them.
        count: How many, 4 or more.
        seed: Random seed.

    Returns:
        The table's median relative error for networks that its two numbers were not fitted to.
    """
    import numpy as np

    from keras_mobilenets.costs.operators import operators

    generator = np.random.default_rng(seed)
    specs = [space.spec(space.random(generator)) for _ in range(count)]
    measured = [each.ms for each in stopwatch(specs)]
    return latencies.fit([operators(spec, stopwatch.classes) for spec in specs], measured)


class Stopwatch:
    """Converts networks and measures them on one thread of this machine.

    They are timed in turns with a small one, whose least time the table keeps: figures of a busy minute and of a quiet
    one are the same multiples of it.

    Attributes:
        classes: Number of classes.
    """

    def __init__(self, latencies: Any, classes: int) -> None:
        """Takes the table, an `OperatorLatencies`."""
        self.classes, self._latencies = classes, latencies
        self._reference: bytes | None = None

    def __call__(self, specs: Sequence[Any]) -> list[Any]:
        """What each network took, a `Measured`."""
        from keras_mobilenets.progress import track
        from keras_mobilenets.tflite.runtime.stopwatch import times_beside
        from keras_mobilenets.training.architecture_search.candidate import Measured
        from keras_mobilenets.training.architecture_search.space import mobile_space

        if self._reference is None:
            self._reference = self._converted(mobile_space(64).middle(), 10)
        contents = [self._converted(spec, self.classes) for spec in track(specs, "Converting networks")]
        known = self._latencies.reference_ms
        seconds, multiples = times_beside(self._reference, contents, known and known / 1e3)
        unit = self._latencies.refer(1e3 * seconds)
        return [Measured(*(unit * each for each in found)) for found in multiples]

    def _converted(self, spec: Any, classes: int) -> bytes:
        """A network of random weights as int8 .tflite, whose latency is that of trained ones."""
        import numpy as np

        import keras_mobilenets as km
        from keras_mobilenets import tflite

        model = km.create_model("Searched", spec=spec, classes=classes)
        noise = np.random.default_rng(0).uniform(-1, 1, (2, *model.input_shape[1:])).astype(np.float32)
        with tempfile.TemporaryDirectory() as folder:
            target = self._latencies.target
            path = tflite.convert(model, Path(folder) / "m.tflite", quantize="int8", calibration=noise, target=target)
            return path.read_bytes()
