"""report.html: one self-contained page about runs of this machine and results.json files of others, such as a phone."""

import base64
import hashlib
import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_mobilenets.errors import UserError
from keras_mobilenets.files import atomic
from keras_mobilenets.plurals import count
from keras_mobilenets.tflite.reports import comparison, image_grid
from keras_mobilenets.tflite.reports.comparison import Measurement
from keras_mobilenets.tflite.reports.examinations import detection_analysis, error_analysis, label_analysis
from keras_mobilenets.tflite.reports.headlines import headlines
from keras_mobilenets.tflite.reports.publications import publications
from keras_mobilenets.tflite.reports.sources import API_LEVEL, GraphFile, Source, flatten, read_source
from keras_mobilenets.tflite.reports.sustained import soaks
from keras_mobilenets.tflite.results import tables
from keras_mobilenets.tflite.results.layer_errors import LayerError
from keras_mobilenets.tflite.results.results import FIGURES
from keras_mobilenets.tflite.results.trade_off import Point
from keras_mobilenets.training.evaluation.attribute_examination import AttributeExamination

WORST = 10  # layers listed for each model


def report(runs: str | Path | Sequence[str | Path], out: str | Path | None = None) -> Path:
    """Writes the page.

    Args:
        runs: One run folder or results.json, or several of either: those of this machine and of phones.
        out: The page; by default report.html in the run folder if one was given, beside the results.json if it is
            the only one, and otherwise in the folder that holds all of them.

    Returns:
        The path of the page.

    Raises:
        UserError: There is nothing to report, a file is damaged, or the page cannot be written. A .tflite that cannot
            be opened is no error; the page says why.
    """
    given = [Path(runs)] if isinstance(runs, str | Path) else [Path(run) for run in runs]
    if not given:
        raise UserError("there is nothing to report; give a run folder or a results.json")
    page = _render(_content([read_source(path) for path in given]))
    path = Path(out) if out else _home(given) / "report.html"
    with atomic(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def _home(given: Sequence[Path]) -> Path:
    folders = [path for path in given if path.is_dir()]
    if len(folders) == 1:
        return folders[0]
    return Path(os.path.commonpath([(path if path.is_dir() else path.parent).resolve() for path in given]))


def _render(content: dict[str, Any]) -> str:
    from markupsafe import Markup

    script = Path(__file__).with_name("report.js").read_text(encoding="utf-8")
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()  # this script and no other may run
    return template("report.html").render(content | {"script": Markup(script), "script_sha256": allowed})


def template(name: str) -> Any:
    """A template of this folder, with the report's style sheet as `style` and filters for figures."""
    import jinja2
    from markupsafe import Markup

    from keras_mobilenets.tflite.reports import figure

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("keras_mobilenets.tflite.reports", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    numbers = itertools.count(1)
    environment.filters |= {
        "mb": tables.megabytes,
        "ms": tables.milliseconds,
        "percent": tables.percent,
        "number": tables.number,
        "kb": tables.kilobytes,
        "operators": tables.operators,
        "family": tables.family_name,
        "score": tables.score,
        "variant": tables.variant_name,
        "count": count,
        "drawn": lambda svg: Markup(figure.in_page(svg, next(numbers))),
    }
    environment.globals["style"] = Markup(Path(__file__).with_name("report.css").read_text(encoding="utf-8"))
    return environment.get_template(name)


def _content(sources: Sequence[Source]) -> dict[str, Any]:
    """Everything the template shows."""
    measured = comparison.measurements(sources)
    several = len({each.device for each in measured}) > 1
    places = {(each.device, each.backend, each.row.threads) for each in measured}
    files = [file for source in sources for file in source.files]
    return {
        "title": " and ".join(source.name for source in sources),
        "dates": sorted({s.environment["timestamp"] for s in sources if s.environment.get("timestamp")}),
        "several_runs": len(sources) > 1,
        "name_runs": len({(each.device, each.source) for each in measured}) > len({each.device for each in measured}),
        "several_devices": several,
        "headlines": headlines(measured),
        "score": " or ".join(sorted({each.row.score_name for each in measured if each.row.score_name})) or "top-1",
        "more_scores": _more_scores(measured),
        "matrix": comparison.matrix(measured) if len(places) > 1 else None,
        "lines": _lines(measured),
        "shown": _shown(measured),
        "estimates": [(source.name, row) for source in sources for row in source.estimates],
        "published": [each for source in sources for each in publications(source)],
        "scored_elsewhere": sorted({(each.device, each.scored_on) for each in measured if each.scored_on}),
        "plots": _plots(measured, several),
        "soaks": soaks(measured),
        "errors": [
            _layer_errors(stem, layers) for source in sources for stem, layers in source.layer_errors.items() if layers
        ],
        "trade_offs": [
            _trade_off(stem, points) for source in sources for stem, points in source.trade_offs.items() if points
        ],
        "files": files,
        "operators": _operators(files),
        "api_level": API_LEVEL,
        "measured_on": _side_by_side([s for s in sources if s.results]),
        "digests": _digests(sources),
        "runs": [
            {
                "name": source.name,
                "curves": _curves(source),
                "examined": _examined(source),
                "detected": detection_analysis.content(source.detection) if source.detection else None,
                "grid": image_grid.grid(source.predictions) if len(source.predictions.get("images", ())) else None,
                "asked": source.asked,
            }
            for source in sources
        ],
    }


def _examined(source: Source) -> dict[str, Any] | None:
    """What the trained model gets wrong."""
    found = source.examination
    if isinstance(found, AttributeExamination):
        return label_analysis.content(found, source.rows)
    return error_analysis.content(found) if found else None


def _shown(measured: Sequence[Measurement]) -> dict[str, bool]:
    """Which of the columns have something to say."""
    values = ("macs", "gzip_size_mb", "sparsity", "peak_mem_mb", "nodes_delegated", "gmacs_per_s", "peer_ratio")
    shown = {name: any(getattr(each.row, name) is not None for each in measured) for name in values}
    return shown | {"notes": any(each.notes for each in measured)}


def _lines(measured: Sequence[Measurement]) -> list[dict[str, Any]]:
    """The rows of the big table, each compared with the float32 row it came from."""
    compressed = tables.are_compressed(each.row for each in measured)
    lines = []
    for each in measured:
        on_device = [other.row for other in measured if other.device == each.device and not other.fell_back]
        size, speed, points = comparison.against(each.row, comparison.baseline(each.row, on_device))
        larger = None if size is None else f"{size:.2f}× larger" if size > 1 else f"{1 / size:.2f}× smaller"
        limit = each.row.limit_share
        lines.append(
            {
                "measured": each,
                "row": each.row,
                "variant": tables.variant_name(each.row, among_compressed=compressed),
                "accuracy": "same"
                if points == 0
                else None
                if points is None
                else f"{points:+.1f} points".replace("-", "−"),
                "size": "same" if size and abs(size - 1) < 0.005 else larger,
                "speed": None if speed is None else f"{speed:.2f}× speed",
                "limit": None if limit is None else f"{limit:.0%} of the roofline",
            }
        )
    return lines


def _more_scores(measured: Sequence[Measurement]) -> list[str]:
    """What else than the leading score is known of how good answers are."""
    known = {words for each in measured for words in each.row.scores}
    leading = {each.row.score_name for each in measured}
    return [words for words in FIGURES.values() if words in known - leading]


def _plots(measured: Sequence[Measurement], several: bool) -> list[dict[str, Any]]:
    """The figures of accuracy and latency, with a caption each."""
    from keras_mobilenets.tflite.reports import plots

    figures: list[dict[str, Any]] = []

    def add(svg: str, caption: str, where: str = "", wide: bool = False) -> None:
        figures.append({"svg": svg, "caption": caption, "where": where, "wide": wide})

    for device in dict.fromkeys(each.device for each in measured):
        here = [each for each in measured if each.device == device]
        fastest = [each.row for each in comparison.fastest_of_each(here)]
        scored = [row for row in fastest if row.score is not None]
        where, choice = device if several else "", ""
        if len(fastest) < sum(each.row.median_ms is not None for each in here):
            choice = " Each model at its fastest backend and number of threads."
        if scored:
            caption = "Up and to the left is better. No model lies above the line; those ringed make it."
            svg = plots.accuracy_latency(plots.labels(scored), where)
            add(svg, caption + choice, where, wide=len(scored) > plots.CROWDED)
        if fastest:
            caption = "Median, with a whisker from p5 to p90; a long one means a busy or a throttled machine."
            svg = plots.latency_ranges(plots.labels(fastest), where)
            add(svg, caption + choice, where, wide=len(fastest) > plots.CROWDED)
    scored_last = sorted((each.row for each in measured), key=lambda row: row.score is not None)
    files = list({(row.model, row.quantization): row for row in scored_last}.values())
    for draw, known, caption in (
        (plots.accuracy_size, lambda row: row.gzip_size_mb or row.model_size_mb, "What has to travel in the app."),
        (plots.accuracy_macs, lambda row: row.macs, "The work of one image, whatever runs it."),
    ):
        points = [row for row in files if row.score is not None and known(row)]
        if len({known(row) for row in points}) > 1:
            rows = [row.with_(backend=None, threads=None) for row in points]  # a file's size is that of no backend
            add(draw(plots.labels(rows)), caption, wide=len(rows) > plots.CROWDED)
    return figures


def _layer_errors(stem: str, layers: Sequence[LayerError]) -> dict[str, Any]:
    from keras_mobilenets.tflite.reports import plots

    known = [layer for layer in layers if layer.sqnr_db is not None]
    worst = sorted(known, key=lambda layer: layer.sqnr_db or 0.0)[:WORST]
    return {
        "name": stem,
        "svg": plots.layer_errors(known, worst, stem) if known else None,
        "worst": worst,
        "layers": len(layers),
    }


def _trade_off(stem: str, points: Sequence[Point]) -> dict[str, Any]:
    from keras_mobilenets.tflite.reports import plots

    return {"name": stem, "svg": plots.trade_off(points, stem), "points": points}


def _operators(files: Sequence[GraphFile]) -> dict[str, Any]:
    """Of each kind of operator, how many each file that can be opened holds; the most frequent first."""
    opened = [file for file in files if not file.refused]
    kinds = {kind: [file.operators.get(kind, 0) for file in opened] for file in opened for kind in file.operators}
    stems = [file.name.removesuffix(".tflite") for file in opened]
    shared = image_grid.shared_start(stems)
    return {
        "shared": shared,
        "names": [stem.removeprefix(shared) for stem in stems],
        "kinds": dict(sorted(kinds.items(), key=lambda item: -sum(item[1]))),
    }


def _side_by_side(sources: Sequence[Source]) -> dict[str, list[str]]:
    """Where each source was measured: a row for each fact, a value for each source."""
    facts = [dict(flatten({k: v for k, v in s.environment.items() if k != "model_sha256"})) for s in sources]
    names = dict.fromkeys(name for each in facts for name in each)
    table = {name.replace("_", " "): [each.get(name, tables.UNKNOWN) for each in facts] for name in names}
    return {"source": [source.name for source in sources]} | table if len(sources) > 1 else table


def _digests(sources: Sequence[Source]) -> list[tuple[str, str, str, bool]]:
    """(file, SHA-256, the sources it was measured in, whether other content goes by the same name)."""
    where: dict[tuple[str, str], list[str]] = {}
    for source in sources:
        for name, digest in source.environment.get("model_sha256", {}).items():
            where.setdefault((name, digest), []).append(source.name)
    contents = [name for name, _ in where]
    return [(name, digest, ", ".join(names), contents.count(name) > 1) for (name, digest), names in where.items()]


def _curves(source: Source) -> list[str]:
    from keras_mobilenets.tflite.reports import training_plots

    history = source.history
    epochs = history.get("epoch") or list(range(1, 1 + max(map(len, history.values()), default=0)))
    if epochs and epochs[0] == 0:  # Keras counts from 0, people from 1
        epochs = [epoch + 1 for epoch in epochs]
    curves = [
        training_plots.training_curve(epochs, history.get(what, []), history.get(f"val_{what}", []), what)
        for what in ("accuracy", "ndcg10", "loss")
        if what in history or f"val_{what}" in history
    ]
    rates = history.get("learning_rate", [])
    return curves + ([training_plots.learning_rate(epochs, rates)] if rates else [])
