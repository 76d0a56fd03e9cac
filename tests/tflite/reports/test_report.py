"""The report page: what it says, and that it needs nothing else. test_report_in_chromium.py opens it in a browser."""

import html.parser
import json
import re
import shutil

import numpy as np
import pytest
from report_samples import (
    PHONE,
    compressed_rows,
    examination,
    host_beside_phone,
    hostile_run,
    layer_errors,
    make_run,
    trade_off,
    words,
)

from keras_mobilenets import tflite
from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.results.results import Row, environment
from keras_mobilenets.training.evaluation.attribute_examination import AttributeExamination

SECTIONS = [
    "Latency", "Accuracy, size and latency", "Training", "What it gets wrong", "Test images", "Measured on",
    "What was asked",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "v2_050")


@pytest.fixture(scope="module")
def page(run):
    return tflite.report(run).read_text(encoding="utf-8")


class Outline(html.parser.HTMLParser):
    """Collects tags, attributes and text, and fails on an element closed out of order."""

    void = ("meta", "link", "img", "input")

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
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data

    def all(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]


def test_report_is_written_into_the_run_folder_and_names_every_section(run, page):
    assert (run / "report.html").exists()
    headings = re.findall(r"<h2[^>]*>([^<]*)", page)
    assert headings == SECTIONS


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
    assert "default-src 'none'" in page  # and the browser would fetch nothing


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
    assert page.count("<svg") == page.count("<title>") - 1 == 7


def test_names_from_files_are_escaped(page):
    assert "<b>star" not in page.replace("<b>&lt;b&gt;star", "")
    assert "no accelerator takes &lt;ADD&gt;" in page


def test_images_the_models_differ_on_come_first_and_are_marked_in_words(page):
    cards = page.split("Test images</h2>")[1].split('<li class="card')[1:]
    assert len(cards) == 20
    assert [i for i, card in enumerate(cards) if "models differ" in card] == [0]
    assert 'alt="Test image 5: ' in cards[0]
    assert re.search(r'class="right"><span class="who">float32</span>', cards[0])
    assert re.search(r'class="wrong"><span class="who">int8</span>', cards[0])
    assert "The models differ on 1 and share a wrong answer on 0." in page


@pytest.mark.parametrize("missing", ["results.json", "run.json", "history.csv", "examination.npz", "predictions.npz"])
def test_a_missing_file_leaves_out_only_its_section(tmp_path, missing):
    run = make_run(tmp_path / "run")
    (run / missing).unlink()
    page = tflite.report(run).read_text()
    gone = {
        "results.json": ["Latency", "Accuracy, size and latency", "Measured on"],
        "run.json": ["What was asked"],
        "history.csv": ["Training"],
        "examination.npz": ["What it gets wrong"],
        "predictions.npz": ["Test images"],
    }[missing]
    assert re.findall(r"<h2[^>]*>([^<]*)", page) == [heading for heading in SECTIONS if heading not in gone]


def test_a_run_that_was_only_trained_is_reported_with_what_it_gets_wrong(tmp_path):
    run = make_run(tmp_path / "run")
    for name in ("results.json", "predictions.npz"):
        (run / name).unlink()
    page = tflite.report(run).read_text()
    text = " ".join(Outline(page).text.split())
    assert "Of 60 validation images, the trained model gets 88.3% right and 7 wrong." in text
    assert "square 65.0% 100.0% 20 circle ×7" in text  # recall 13 of 20; nothing else is predicted as a square
    assert "circle 100.0% 74.1% 20 –" in text  # precision 20 of 27
    assert text.index("square 65.0%") < text.index("circle 100.0%")  # the worst first
    assert [card for card in page.split('<li class="card')[1:] if "<b>circle</b>" not in card] == []
    assert page.count('alt="Validation image of square, predicted as circle"') == 7
    assert page.count("with what speaks for circle in colour") == 7
    assert "label square" in text and "circle 99.0%" in text


@pytest.mark.parametrize(
    ("classes", "numbers", "names", "listed"),
    [(2, True, True, 0), (30, True, True, 1), (60, False, True, 1), (120, False, False, 1)],
)
def test_confusion_matrix_is_readable_for_few_and_for_many_classes(tmp_path, classes, numbers, names, listed):
    examination([f"class {number}" for number in range(classes)]).save(tmp_path / "examination.npz")
    page = tflite.report(tmp_path).read_text()
    drawn = re.findall(r"<text[^>]*>([^<]*)</text>", page)
    assert ("13" in drawn) == numbers and (drawn.count(f"class {classes - 1}") == 2) == names
    assert page.count("confused most") == listed
    assert len(re.findall(r'<th scope="row">class ', page)) == min(classes, 20) + listed


def test_classes_too_many_for_a_matrix_are_listed(tmp_path):
    examination([f"class {number}" for number in range(1000)]).save(tmp_path / "examination.npz")
    page = tflite.report(tmp_path).read_text()
    assert "<svg" not in page and "The worst 20 of 1000 classes." in page and "confused most" in page


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("confusion", np.ones((2, 2), np.int64)),
        ("confusion", -np.ones((3, 3), np.int64)),
        ("images", np.zeros((7, 16, 16), np.uint8)),
        ("labels", np.full(7, 3)),
        ("predicted", np.zeros(6, np.int64)),
        ("confidence", np.full(7, np.nan, np.float32)),
        ("heat", np.zeros((7, 8, 8), np.uint8)),
    ],
)
def test_an_examination_whose_parts_do_not_go_together_is_refused_in_one_line(tmp_path, part, value):
    path = examination(["a", "b", "c"]).save(tmp_path / "examination.npz")
    with np.load(path) as file:
        content = dict(file)
    np.savez(path, **content | {part: value})
    with pytest.raises(UserError, match="is no examination") as refused:
        tflite.report(tmp_path)
    assert "\n" not in str(refused.value)


def test_several_runs_share_one_table(tmp_path):
    runs = [make_run(tmp_path / name) for name in ("a", "b")]
    path = tflite.report(runs)
    page = path.read_text()
    assert path == tmp_path / "report.html"
    table = page[page.index('id="measurements"') :]
    assert all(table.count(f'<th scope="row">MobileNetV2 0.5 ({run}) ') == 3 for run in "ab")
    outline = Outline(page)
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
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
        "examination.npz": b"PK\x03\x04 cut",
        "run.json": b"{",
        "results.json": b"{}",
        "layer_errors.json": b'{"m": [{"index": 0}]}',
    }.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / name).write_bytes(content)
        assert name in refusal(folder)


@pytest.mark.parametrize("name", ["predictions.npz", "examination.npz"])
def test_pickled_objects_are_refused(tmp_path, name):
    np.savez(tmp_path / name, images=np.array([print], object), about=np.array([print], object))
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


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    host = host_beside_phone(tmp_path_factory.mktemp("both") / "demo")
    return tflite.report([host, PHONE], host / "both.html").read_text(encoding="utf-8")


def rows_of(page, start):
    """The text of each row of the table that follows `start`, tags taken out."""
    body = page[page.index("<tbody>", page.index(start)) : page.index("</tbody>", page.index(start))]
    return [words(f"<tr{row}") for row in body.split("<tr")[1:]]


def test_host_and_phone_stand_in_one_matrix_joined_by_the_content_of_the_files(both):
    table = both[both.index('<h2 id="latency"') :]
    head = words(table[table.index("<thead>") : table.index("</thead>")])
    assert head.startswith("x86_64 host Google Pixel 8 Pro Model xnnpack 1 thread cpu 1 thread cpu 4 threads gpu")
    assert rows_of(both, '<h2 id="latency"') == [
        "mobilenetv2_0.5 float32 0.345 2.17 1.00 fastest 1.07 ✗ fell back CPU: 2.24 "
        "✗ failed ANEURALNETWORKS_BAD_DATA: google-edgetpu does not compile <float32>",
        "mobilenetv2_0.5 int8 0.368 0.913 0.502 1.14 0.625 5 of 65 operators on the CPU 0.441 fastest",
    ]


def test_what_went_wrong_on_the_phone_is_said_in_words(both):
    rows = rows_of(both, 'id="measurements"')
    assert len(rows) == 12
    assert "Of 12 measurements 1 failed and 1 fell back to the CPU; the table says why." in both
    failed = next(row for row in rows if "✗ failed" in row)
    assert "failed: ANEURALNETWORKS_BAD_DATA: google-edgetpu does not compile <float32>" in failed
    fallen = next(row for row in rows if "✗ fell back" in row)
    assert "cpu 1 thread ✗ fell back from nnapi" in fallen
    assert "fell back to the CPU: asked for nnapi, which took no operator" in fallen
    assert any("5 of 65 operators on the CPU, the others in 3 partitions" in row for row in rows)
    assert any("thermal status none → light" in row for row in rows)


def test_the_phone_takes_over_what_the_host_knows_of_the_same_file(both):
    rows = [row for row in rows_of(both, 'id="measurements"') if "Pixel" in row and "failed" not in row]
    assert all("94.5%" in row if "float32" in row else "94.7%" in row for row in rows)
    assert "Top-1 that Google Pixel 8 Pro did not measure is that of the same file on x86_64 host." in words(both)


def test_a_model_that_fell_back_is_on_no_plot_of_the_accelerator(both):
    descriptions = re.findall(r"<title>([^<]*on Google[^<]*)</title><desc>([^<]*)", both)
    assert [title for title, _ in descriptions] == [
        "Top-1 accuracy over median latency on Google Pixel 8 Pro",
        "Latency of each model on Google Pixel 8 Pro",
    ]
    assert descriptions[1][1] == "Medians: float32, cpu, 4 threads 1.00 ms; int8, nnapi:google-edgetpu 0.441 ms."


def test_an_accelerator_without_a_delegated_operator_is_not_credited_with_the_latency(tmp_path):
    rows = [
        Row("m", "int8", "gpu", 1, median_ms=2.0, top1=0.9, nodes_total=9, nodes_delegated=0, partitions=0),
        Row("m", "int8", "cpu", 1, median_ms=3.0, top1=0.9),
    ]
    tflite.write_results(tmp_path / "results.json", rows, environment())
    page = tflite.report(tmp_path).read_text(encoding="utf-8")
    assert rows_of(page, '<h2 id="latency"') == ["m int8 ✗ fell back CPU: 2.00 3.00"]
    assert "cpu 1 thread ✗ fell back from gpu" in words(page) and "no operator delegated to gpu" in words(page)


def test_a_phone_alone_is_reported_beside_its_file(tmp_path):
    path = tflite.report(shutil.copy(PHONE, tmp_path / "pixel.json"))
    page = path.read_text(encoding="utf-8")
    assert path == tmp_path / "report.html" and "<h1>pixel</h1>" in page
    assert "Google Tensor G3" in page and "Top-1 accuracy over" not in page
    assert len(rows_of(page, 'id="measurements"')) == 10


def test_other_content_under_the_same_name_is_told_and_not_joined(tmp_path):
    host = host_beside_phone(tmp_path / "demo", digest="0" * 64)
    page = tflite.report([host, PHONE]).read_text(encoding="utf-8")
    assert page.count("other content goes by this name too") == 4
    assert "Top-1 that Google" not in page


def test_devices_of_one_name_are_told_apart_by_their_chip(tmp_path):
    names = []
    for chip in ("Tensor G3", "Tensor G4"):
        content = json.loads(PHONE.read_text())
        content["environment"] |= {"device": "Pixel", "soc": chip}
        names.append(tmp_path / f"{chip}.json")
        names[-1].write_text(json.dumps(content))
    page = tflite.report(names).read_text(encoding="utf-8")
    assert "Pixel, Tensor G3</th>" in page and "Pixel, Tensor G4</th>" in page


def test_names_from_other_peoples_files_bring_no_markup(tmp_path):
    page = tflite.report([hostile_run(tmp_path / "run"), PHONE]).read_text(encoding="utf-8")
    outline = Outline(page)
    assert len(outline.all("script")) == 1
    assert all(image["src"].startswith("data:image/png;base64,") for image in outline.all("img"))
    assert not [name for _, attributes in outline.tags for name in attributes if name.startswith("on")]
    assert all("src" not in attributes for attributes in outline.all("script"))


def test_the_worst_layers_are_listed_and_drawn(tmp_path):
    run = make_run(tmp_path / "run")
    layers = layer_errors()
    (run / "layer_errors.json").write_text(json.dumps({"m_int8": layers}))
    page = tflite.report(run).read_text(encoding="utf-8")
    rows = rows_of(page, '<h3 id="errors-1"')
    assert len(rows) == 10 and "The worst 10 of 30 layers." in page
    known = sorted((layer["sqnr_db"], layer["layer"]) for layer in layers if layer["sqnr_db"] is not None)
    assert all(f"{layer} {db:.1f}" in row for row, (db, layer) in zip(rows, known, strict=False))
    assert "Signal to quantization noise of each layer of m_int8" in page


def test_layers_without_an_error_need_no_figure(tmp_path):
    run = make_run(tmp_path / "run")
    line = {"index": 0, "operator": "ADD", "layer": "x", "sqnr_db": None, "cosine": 1.0}
    (run / "layer_errors.json").write_text(json.dumps({"m_int8": [line], "none": []}))
    assert "None of its 1 layers has an error" in tflite.report(run).read_text(encoding="utf-8")


def test_the_curve_of_blocks_in_float_is_listed_and_drawn(tmp_path):
    run = make_run(tmp_path / "run")
    record = json.loads((run / "run.json").read_text()) | {"convert": trade_off()}
    (run / "run.json").write_text(json.dumps(record))
    page = tflite.report(run).read_text(encoding="utf-8")
    first, *_, last = rows_of(page, '<h3 id="mixed-1"')
    assert first == "nothing 1.000 19.1 86.0%" and last == "block_13, block_14 1.110 21.2 90.0%"
    assert "Accuracy of m_int8 over latency with blocks in float" in page
    assert "all int8 1.00, 19.1 dB; 1 block 1.04, 19.6 dB; 2 blocks 1.11, 21.2 dB." in page
    assert "int8, by budget" in page and "slowdown" not in page  # of what was asked, no more than it was
    record["convert"]["m_int8.tflite"]["found"]["trade_off"] = [{"blocks": []}]
    (run / "run.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match="convert again"):
        tflite.report(run)


def test_operators_of_each_file_and_who_takes_them(tmp_path, tflite_files):
    run = make_run(tmp_path / "run")
    shutil.copy(tflite_files["int8"], run / "m_int8.tflite")
    shutil.copy(tflite_files["float32"], run / "m_float32.tflite")
    (run / "m_broken.tflite").write_bytes(b"not a model")
    page = tflite.report(run).read_text(encoding="utf-8")
    broken, float32, int8 = rows_of(page, '<h2 id="operators"')
    assert "✗ not opened" in broken and "lacks the TFL3 identifier" in broken
    checked = tflite.check_nnapi(run / "m_int8.tflite", api_level=31)
    assert checked.summary in int8 and "int8 ×" in int8 and "float32 ×" in float32
    counts = tflite.inspect(run / "m_int8.tflite").operator_counts
    kinds = rows_of(page, '<h3 id="kinds"')
    assert {row.split()[0] for row in kinds} >= set(counts)
    assert any(re.search(rf"DEPTHWISE_CONV_2D 1 {counts['DEPTHWISE_CONV_2D']}$", row) for row in kinds)


def test_rate_limit_drift_and_peer_are_shown_where_the_benchmark_knows_them(tmp_path):
    figures = {"median_ms": 1.0, "gmacs_per_s": 21.5, "limit_share": 0.62, "drift": -0.12, "peer_ratio": 0.43}
    tflite.write_results(tmp_path / "results.json", [Row("m", "int8", "xnnpack", 1, **figures)], environment())
    page = words(tflite.report(tmp_path).read_text(encoding="utf-8"))
    assert "21.5 62% of the roofline" in page and "0.43×" in page and "latency drifted by −12% over the run" in page


def test_several_labels_an_image_have_curves_their_own_table_and_their_misses(tmp_path):
    rng = np.random.default_rng(0)
    truth = (rng.random((60, 3)) < (0.5, 0.2, 0.1)).astype(np.uint8)
    scores = np.clip(0.5 * truth + 0.6 * rng.random((60, 3)), 0, 1).astype(np.float32)
    images = rng.integers(0, 256, (60, 16, 16, 3), dtype=np.uint8)
    names = ("round", "<b>warm</b>", "large")
    confidence = np.array([0.9, 0.8], np.float32)
    missed = np.array([True, False])
    found = AttributeExamination(names, "validation", scores, truth, images[:2], np.array([1, 2]), missed, confidence)
    found.save(tmp_path / "examination.npz")
    per_class = {name: {"average_precision": 0.5 + 0.1 * i, "f1": 0.25} for i, name in enumerate(names)}
    figures = {"backend": "xnnpack", "threads": 1, "median_ms": 1.0, "model_size_mb": 1.0, "per_class": per_class}
    rows = [Row(f"v2_{q}", q, map=share, f1=0.25, **figures) for q, share in (("none", 0.625), ("int8", 0.6))]
    tflite.write_results(tmp_path / "results.json", rows, environment())
    tflite.save_predictions(tmp_path / "predictions.npz", images, truth, names, {"v2_none": scores, "v2_int8": scores})
    page = tflite.report(tmp_path).read_text(encoding="utf-8")
    text = words(page)
    assert "<b>warm</b>" not in page and "mAP is 60.0%, 2.5 points lower" in text
    assert f"a mean average precision of {found.map:.1%}" in text and "Precision over recall of each label" in text
    assert "label <b>warm</b> model not <b>warm</b> 90.0%" in text and "label not large model large 80.0%" in text
    lines = {line: f"{line} {truth[:, i].sum()} {found.average_precision[i]:.1%}" for i, line in enumerate(names)}
    assert all(line in text for line in lines.values())
    assert f"labels of the {len(images)} test images" in text
