"""The report page: what it says, that it needs nothing else, and that a browser shows it."""

import html.parser
import io
import json
import re

import numpy as np
import pytest
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from PIL import Image

from keras_mobilenets import tflite
from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite import plots
from keras_mobilenets.tflite.results import Row, environment

CLASSES = ["circle", "square", "<b>star</b>"]
HISTORY = "epoch,accuracy,loss,val_accuracy,val_loss,learning_rate\n0,0.5,1.2,0.4,1.4,0.01\n1,0.8,0.6,0.75,0.7,0.001\n"
FIGURES = {"backend": "xnnpack", "threads": 1, "num_runs": 100, "p5_ms": 0.9, "p95_ms": 2.5}


def make_run(folder):
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 3
    right = np.eye(3)[labels] * 0.8 + 0.1 / 1.5
    int8 = right.copy()
    int8[5] = np.roll(int8[5], 1)  # here alone the two models differ
    folder.mkdir(parents=True)
    images = rng.integers(0, 256, (40, 24, 24, 3), dtype=np.uint8)
    tflite.save_predictions(folder / "predictions.npz", images, labels, CLASSES, {"m_float32": right, "m_int8": int8})
    rows = [
        Row("MobileNetV2 0.5", "none", model_size_mb=4.0, top1=0.95, median_ms=2.0, p90_ms=2.2, **FIGURES),
        Row("MobileNetV2 0.5", "int8", model_size_mb=1.0, top1=0.94, median_ms=1.0, p90_ms=1.1, **FIGURES),
        Row("MobileNetV2 0.5", "int8", backend="nnapi", status="failed", error="no accelerator takes <ADD>"),
    ]
    tflite.write_results(folder / "results.json", rows, environment())
    (folder / "run.json").write_text(json.dumps({"model": "MobileNetV2", "recipe": {"epochs": 2, "seed": None}}))
    (folder / "history.csv").write_text(HISTORY)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "v2_050")


@pytest.fixture(scope="module")
def page(run):
    return tflite.report(run).read_text(encoding="utf-8")


class Outline(html.parser.HTMLParser):
    """Collects tags, attributes and text, and fails on an element closed out of order."""

    void = ("meta", "link", "img")

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text = [], [], ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if tag not in self.void:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text += data

    def all(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]


def test_report_is_written_into_the_run_folder_and_names_every_section(run, page):
    assert (run / "report.html").exists()
    headings = re.findall(r"<h2[^>]*>([^<]*)", page)
    assert headings == ["Accuracy, size and latency", "Training", "Test images", "Measured on", "What was asked"]


def test_report_says_what_int8_brought(page):
    assert (
        "takes 25% of the float32 file&#39;s size and is 2.00 times as fast; top-1 is 94.0%, 1.0 points lower" in page
    )
    assert all(text in page for text in ("4.00× smaller", "2.00× speed", "−1.0 points", "95.0%"))


def test_report_needs_no_other_file(page):
    for attributes in (attributes for _, attributes in Outline(page).tags):
        for name in ("src", "href"):
            assert attributes.get(name, "#").startswith(("data:", "#")), attributes
    assert "@import" not in page and not re.search(r"url\((?!#)", page)


def test_report_is_well_formed_and_its_ids_are_unique(page):
    outline = Outline(page)
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    used = re.findall(r'(?:href="#|url\(#)([^")]+)', page)
    assert set(used) <= set(ids)


def test_report_can_be_read_without_seeing_it(page):
    outline = Outline(page)
    assert len(outline.all("table")) == len(outline.all("caption"))
    assert all("scope" in attributes for attributes in outline.all("th"))
    assert {"Test image 5: <b>star</b>", "Test image 0: circle"} <= {image["alt"] for image in outline.all("img")}
    assert all(attributes.get("role") == "img" for attributes in outline.all("svg"))
    assert page.count("<svg") == page.count("<title>") - 1 == 4


def test_names_from_files_are_escaped(page):
    assert "<b>star" not in page.replace("<b>&lt;b&gt;star", "")
    assert "no accelerator takes &lt;ADD&gt;" in page


def test_images_the_models_differ_on_come_first_and_are_marked_in_words(page):
    cards = page.split('<li class="card')[1:]
    assert len(cards) == 20
    assert [i for i, card in enumerate(cards) if "models differ" in card] == [0]
    assert 'alt="Test image 5: ' in cards[0]
    assert re.search(r'class="right"><span class="who">float32</span>', cards[0])
    assert re.search(r'class="wrong"><span class="who">int8</span>', cards[0])
    assert "The models differ on 1 and share a wrong answer on 0." in page


@pytest.mark.parametrize("missing", ["results.json", "run.json", "history.csv", "predictions.npz"])
def test_a_missing_file_leaves_out_only_its_section(tmp_path, missing):
    run = make_run(tmp_path / "run")
    (run / missing).unlink()
    page = tflite.report(run).read_text()
    gone = {
        "results.json": ["Accuracy, size and latency", "Measured on"],
        "run.json": ["What was asked"],
        "history.csv": ["Training"],
        "predictions.npz": ["Test images"],
    }[missing]
    assert re.findall(r"<h2[^>]*>([^<]*)", page) == [
        heading
        for heading in ["Accuracy, size and latency", "Training", "Test images", "Measured on", "What was asked"]
        if heading not in gone
    ]


def test_several_runs_share_one_table(tmp_path):
    runs = [make_run(tmp_path / name) for name in ("a", "b")]
    path = tflite.report(runs)
    page = path.read_text()
    assert path == tmp_path / "report.html"
    assert page.count('<th scope="row">MobileNetV2 0.5') == 6
    Outline(page)
    assert "Training: a" in page and "Training: b" in page


def test_a_folder_with_nothing_or_damaged_files_is_refused_in_one_line(tmp_path):
    def refusal(folder):
        with pytest.raises(UserError) as refused:
            tflite.report(folder)
        assert "\n" not in str(refused.value) and not (folder / "report.html").exists()
        return str(refused.value)

    assert "not a folder" in refusal(tmp_path / "none")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "holds none of" in refusal(empty)
    for name, content in {
        "history.csv": b"epoch,loss\n0,abc\n",
        "predictions.npz": b"PK\x03\x04 cut",
        "run.json": b"{",
        "results.json": b"{}",
    }.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / name).write_bytes(content)
        assert name in refusal(folder)


def test_predictions_with_pickled_objects_are_refused(tmp_path):
    np.savez(tmp_path / "predictions.npz", images=np.array([print], object))
    with pytest.raises(UserError, match="damaged"):
        tflite.report(tmp_path)


def test_scaled_floats_are_saved_as_the_pixels_they_came_from(tmp_path):
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    path = tflite.save_predictions(tmp_path / "p.npz", pixels / np.float32(127.5) - 1, [0], ["a"], {"m": [[1.0]]})
    with np.load(path, allow_pickle=False) as saved:
        np.testing.assert_array_equal(saved["images"], pixels)
    with pytest.raises(UserError, match="pred_m"):
        tflite.save_predictions(tmp_path / "q.npz", pixels, [0], ["a"], {"m": [[1.0, 0.0]]})
    assert not (tmp_path / "q.npz").exists()


def words_and_markers(rows, monkeypatch):
    """The boxes of the names that `accuracy_latency` writes, and of its markers and rings."""
    drawn = {}

    def keep(figure, title):
        figure.canvas.draw()
        (axes,), renderer = figure.axes, figure.canvas.get_renderer()
        drawn["words"] = [Text.get_window_extent(note, renderer) for note in axes.texts]  # without the leader line
        centres = [axes.transData.transform((row.median_ms, 100 * row.top1)) for row in rows]
        drawn["markers"] = [Bbox.from_bounds(x - 5, y - 5, 10, 10) for x, y in centres]
        return ""

    with monkeypatch.context() as patch:
        patch.setattr(plots, "_svg", keep)
        plots.accuracy_latency(plots.labels(rows))
    return drawn["words"], drawn["markers"]


def compressed_rows():
    """A model by every road, four of them within 1% of each other's latency."""
    rows = [
        ("float32", "none", None, 2.57, 0.938, 0.387),
        ("float16", "float16", None, 1.28, 0.938, 0.381),
        ("int8", "int8", None, 0.77, 0.9365, 0.302),
        ("qat_int8", "int8", "qat", 0.77, 0.939, 0.301),
        ("prune_int8", "int8", "prune", 0.43, 0.931, 0.300),
        ("pqat_int8", "int8", "pqat", 0.42, 0.9325, 0.303),
        ("channels_int8", "int8", "channels", 0.38, 0.921, 0.180),
    ]
    return [
        Row(
            f"mobilenetv2_0.5_{ending}", quantization, compression=compression, gzip_size_mb=gzip, sparsity=0.5,
            top1=top1, model_size_mb=2 * gzip, **FIGURES | {"p5_ms": ms, "median_ms": ms, "p90_ms": ms},
        )
        for ending, quantization, compression, gzip, top1, ms in rows
    ]  # fmt: skip


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


def test_report_of_compressed_models_has_one_table_and_two_pareto_plots(tmp_path):
    tflite.write_results(tmp_path / "results.json", compressed_rows(), environment())
    page = tflite.report(tmp_path).read_text()
    outline = Outline(page)
    assert len(outline.all("table")) == 2 and page.count("<svg") == 3
    assert all(f"int8 {name}" in page for name in ("PTQ", "QAT", "pruned", "PQAT", "channel-pruned"))
    assert "Top-1 accuracy over size after gzip" in page and "Gzip, MB" in page and "Zeros" in page
    assert "Of the int8 models QAT is the most accurate (93.9%), channel-pruned the fastest (0.180 ms)" in page


def test_a_plain_run_has_no_column_for_compression(page):
    assert "Gzip" not in page and "Zeros" not in page and "PTQ" not in page


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


def test_report_opens_in_chromium(run, page, chromium, tmp_path):
    """The browser runs the page to its end, and what it paints is no blank sheet, on a light and on a dark screen."""
    dom = chromium(run / "report.html", tmp_path / "dom", "--dump-dom")
    assert all(text in dom for text in ("</html>", "Accuracy, size and latency", "<svg", "models differ"))
    brightness = []
    for name, *scheme in (("light",), ("dark", "--blink-settings=preferredColorScheme=0")):
        picture = tmp_path / f"{name}.png"
        chromium(run / "report.html", tmp_path / name, f"--screenshot={picture}", "--window-size=400,1600", *scheme)
        pixels = np.asarray(Image.open(picture).convert("L"), float)
        brightness.append(np.median(pixels))
        assert pixels.shape == (1600, 400)
        assert (np.abs(pixels - np.median(pixels)) > 60).mean() > 0.02  # ink on the page
        assert all(band.std() > 5 for band in np.array_split(pixels, 8))  # from its head to its foot
    assert brightness[0] > 200 and brightness[1] < 60
