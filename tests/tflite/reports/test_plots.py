"""The report's figures, and the table of the terminal that names models alike."""

import io

import numpy as np
import pytest
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from report_samples import compressed_rows

from keras_mobilenets import tflite
from keras_mobilenets.tflite.reports import plots
from keras_mobilenets.tflite.results.results import Row


def words_and_markers(rows, monkeypatch):
    """The boxes of the names that `accuracy_latency` writes, and of its markers and rings."""
    drawn = {}

    def keep(figure, title, description):
        figure.canvas.draw()
        (axes,), renderer = figure.axes, figure.canvas.get_renderer()
        drawn["words"] = [Text.get_window_extent(note, renderer) for note in axes.texts]  # without the leader line
        centres = [axes.transData.transform((row.median_ms, 100 * row.top1)) for row in rows]
        drawn["markers"] = [Bbox.from_bounds(x - 5, y - 5, 10, 10) for x, y in centres]
        return ""

    with monkeypatch.context() as patch:
        patch.setattr(plots, "svg", keep)
        plots.accuracy_latency(plots.labels(rows))
    return drawn["words"], drawn["markers"]


@pytest.mark.parametrize("kind", ["nine models", "seven roads"])
def test_names_in_the_plot_cover_neither_each_other_nor_a_point(kind, monkeypatch):
    rows = compressed_rows()
    if kind == "nine models":
        crowd = [(1 + 0.1 * (i % 3), 0.9 + 0.01 * (i // 3)) for i in range(9)]
        rows = [Row(f"V2 {i}", "int8", median_ms=ms, top1=top1) for i, (ms, top1) in enumerate(crowd)]
    words, markers = words_and_markers(rows, monkeypatch)
    assert len(words) == len(rows)
    assert not any(a.overlaps(b) for i, a in enumerate(words) for b in words[:i])
    assert not any(word.overlaps(marker) for word in words for marker in markers)


def test_each_road_has_a_colour_a_marker_and_a_name_of_its_own():
    rows = compressed_rows()
    assert len({plots._style(row)[0] for row in rows}) == len({plots._style(row)[1] for row in rows}) == len(rows)
    assert [label.text for label in plots.labels(rows)] == [
        "float32", "float16", "int8 PTQ", "int8 QAT", "int8 pruned", "int8 PQAT", "int8 channel-pruned",
    ]  # fmt: skip


def test_pareto_front_holds_what_nothing_beats_in_both():
    """Against the definition: a point is on it when no other is as cheap and as accurate."""
    rng = np.random.default_rng(0)
    places = [(float(x), float(y)) for x, y in rng.integers(0, 12, (60, 2))]
    unbeaten = {
        (x, y) for x, y in places if not any(a <= x and b >= y and (a, b) != (x, y) for a, b in places)
    }  # fmt: skip
    assert plots.pareto_front(places) == sorted(unbeaten)


def test_rows_named_after_their_files_are_named_once():
    rows = [Row("v2_050_float32", "none"), Row("v2_050_int8", "int8"), Row("v2_100_int8", "int8")]
    assert [label.text for label in plots.labels(rows)] == ["v2_050, float32", "v2_050, int8", "v2_100, int8"]
    assert [label.text for label in plots.labels(rows[:2])] == ["float32", "int8"]


def test_terminal_table_and_markdown_have_the_same_cells():
    from rich.console import Console

    rows = [
        Row("MobileNetV2 0.5", "none", "xnnpack", 1, model_size_mb=2.81, median_ms=0.3456, p90_ms=12.34, top1=0.9345),
        Row("a|b", "int8", "nnapi", status="failed", error="no NNAPI here"),
    ]
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(tflite.table(rows[:1]))
    shown = console.export_text().splitlines()[-1].split()
    assert shown == ["MobileNetV2", "0.5", "float32", "2.81", "93.5%", "0.346", "12.3", "xnnpack", "1"]
    lines = tflite.markdown(rows).splitlines()
    assert lines[0] == "| model | quantization | size MB | top-1 | median ms | p90 ms | backend | threads |"
    assert lines[2] == "| MobileNetV2 0.5 | float32 | 2.81 | 93.5% | 0.346 | 12.3 | xnnpack | 1 |"
    assert lines[3] == r"| a\|b | int8 | – | – | – | – | nnapi (failed: no NNAPI here) | – |"


def test_table_of_compressed_models_names_the_roads_in_100_characters():
    from rich.console import Console

    rows = compressed_rows()
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(tflite.table(rows))
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= 100 and len(lines) == 3 + len(rows)  # no row in two lines
    assert lines[-1].split() == [
        "mobilenetv2_0.5", "int8", "channel-pruned", "0.76", "0.38", "50%", "92.1%", "0.180", "0.180", "xnnpack", "1",
    ]  # fmt: skip
    header = tflite.markdown(rows).splitlines()[0]
    assert header == "| model | variant | size MB | gzip MB | zeros | top-1 | median ms | p90 ms | backend | threads |"
