"""results.json: what its schema takes and refuses, and that nothing is lost on the way through a file."""

import dataclasses
import io
import json

import jsonschema
import pytest
from rich.console import Console

from keras_mobilenets.errors import UserError
from keras_mobilenets.files import sha256
from keras_mobilenets.pipeline.latency import KNOWN_BEFORE
from keras_mobilenets.tflite.results.results import FIGURES, SCHEMA, Row, environment, read_results, write_results
from keras_mobilenets.tflite.results.tables import ESTIMATED, markdown, scores, table

# The names of the design, which the Android app writes too.
NAMES = """model, quantization, backend, threads, parameters, macs, model_size_mb, num_runs, num_warmup_runs, init_ms,
first_inference_ms, median_ms, avg_ms, min_ms, max_ms, stddev_ms, p5_ms, p90_ms, p95_ms, peak_mem_mb, top1, max_abs_err,
nodes_total, nodes_delegated, partitions, accelerator, thermal_start, thermal_end, status, error""".replace(
    "\n", " "
).split(", ")
# Younger than the first files.
OPTIONAL = ["compression", "gzip_size_mb", "sparsity", "gmacs_per_s", "limit_share", "drift", "peer_ratio"]
OPTIONAL += ["estimated", "estimate_ms", "memory", "system", "map", "map50", "f1", "per_class", "sustained"]
OPTIONAL += ["ndcg10", "hr10"]
ESTIMATE = Row(
    "m_int8",
    "int8",
    "ethos-u55-128",
    nodes_total=66,
    nodes_delegated=64,
    partitions=2,
    estimated=True,
    estimate_ms=3.21,
    memory={"SRAM": 74_752},
    system="Ethos_U55_High_End_Embedded, Shared_Sram, Vela 5.1.0",
)

PHONE = {
    "device": "Google Pixel 6",
    "soc": "Google Tensor",
    "os": "Android 14 (API 34)",
    "runtime": "TensorFlow Lite",
    "runtime_version": "2.16.1",
    "threads_available": 8,
    "timestamp": "2026-11-21T22:00:00Z",
    "model_sha256": {"int8.tflite": "a" * 64},
}


@pytest.fixture
def content():
    """A file as a phone writes it."""
    row = dataclasses.asdict(Row("MobileNetV2 0.5", "int8", "nnapi", top1=0.93, median_ms=1.25, thermal_start="none"))
    return {"schema_version": 1, "environment": dict(PHONE), "rows": [row]}


def write(path, content):
    path.write_text(json.dumps(content))
    return path


def test_row_and_schema_have_the_names_of_the_design():
    schema = json.loads(SCHEMA.read_text())
    assert [field.name for field in dataclasses.fields(Row)] == NAMES + OPTIONAL
    assert list(schema["properties"]["rows"]["items"]["properties"]) == NAMES + OPTIONAL
    assert schema["properties"]["rows"]["items"]["required"] == NAMES


def test_schema_is_valid_json_schema_2020_12():
    schema = json.loads(SCHEMA.read_text())
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(schema)


def test_rows_and_environment_come_back_as_written(tmp_path):
    rows = [
        Row("m", "int8", "xnnpack", 1, median_ms=0.5, top1=0.9),
        Row("n", status="failed", error="no such delegate"),
        ESTIMATE,
    ]
    path = write_results(tmp_path / "run" / "results.json", rows, PHONE)
    results = read_results(path)
    assert results.rows == rows
    assert results.environment == PHONE


def test_a_file_from_a_phone_is_read(tmp_path, content):
    (row,) = read_results(write(tmp_path / "results.json", content)).rows
    assert (row.backend, row.top1, row.threads) == ("nnapi", 0.93, None)


def test_a_file_from_before_models_were_compressed_is_read(tmp_path, content):
    for name in OPTIONAL:
        del content["rows"][0][name]
    (row,) = read_results(write(tmp_path / "results.json", content)).rows
    assert (row.compression, row.gzip_size_mb, row.sparsity, row.top1) == (None, None, None, 0.93)


def test_this_machine_describes_itself_within_the_schema(tmp_path):
    model = tmp_path / "m.tflite"
    model.write_bytes(b"abc")
    here = environment([model])
    write_results(tmp_path / "results.json", [Row("m")], here)
    assert here["model_sha256"] == {
        "m.tflite": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    }
    assert here["runtime"] == "LiteRT" and here["threads_available"] >= 1


@pytest.mark.parametrize(
    ("row", "name"),
    [
        (ESTIMATE.with_(median_ms=3.21), "median_ms"),
        (ESTIMATE.with_(top1=0.9), "top1"),
        (ESTIMATE.with_(backend=None), "backend"),
        (ESTIMATE.with_(estimated=None, memory=None), "estimate_ms"),
        (ESTIMATE.with_(memory={"SRAM": 0.5}), "memory.SRAM"),
    ],
)
def test_a_row_is_measured_or_estimated_and_never_both(tmp_path, row, name):
    with pytest.raises(UserError, match=f"rows\\[0\\].{name}"):
        write_results(tmp_path / "results.json", [row], PHONE)


def test_every_figure_of_accuracy_is_kept_by_a_timing_and_shown_in_the_table():
    for place, (name, words) in enumerate(FIGURES.items()):
        row = Row("m", "int8", **{name: 0.25 + place / 100})
        assert name in KNOWN_BEFORE and row.score == 0.25 + place / 100 and row.score_name == words
        assert f"| {words} |" in markdown([row]) and f"| {25 + place}.0% |" in markdown([row])
        assert scores(row) == f"{words} {25 + place}.00%"
    ranked = Row("m", ndcg10=0.4, hr10=0.6)
    assert (ranked.score, scores(ranked)) == (0.4, "NDCG@10 40.00%, HR@10 60.00%")


def test_estimates_stand_under_their_own_heading():
    measured = Row("m_int8", "int8", "xnnpack", 1, median_ms=2.0)
    above, below = markdown([ESTIMATE, measured]).split(f"\n**{ESTIMATED}**\n\n")
    assert above == markdown([measured])
    assert below.splitlines()[2:] == [
        "| m_int8 | int8 | ethos-u55-128 | 3.21 | SRAM 74.8 kB | 64 of 66 | "
        "Ethos_U55_High_End_Embedded, Shared_Sram, Vela 5.1.0 |"
    ]
    refused = ESTIMATE.with_(status="failed", error="no operator is delegated", estimate_ms=None)
    assert "| ethos-u55-128 (failed: no operator is delegated) | – |" in markdown([refused])


def test_the_terminal_shows_all_of_an_estimate():
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(table([Row("m_int8", "int8", "xnnpack", 1, median_ms=2.0), ESTIMATE]))
    above, below = console.export_text().split(ESTIMATED)
    assert "2.00" in above and "3.21" not in above
    assert all(word in below for word in ("3.21", "SRAM 74.8 kB", "64 of 66", "Vela 5.1.0")) and "2.00" not in below


def set_in(content, path, value):
    *outer, last = path
    for key in outer:
        content = content[key]
    if value is KeyError:
        del content[last]
    else:
        content[last] = value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema_version",), 2),
        (("rows",), KeyError),
        (("rows", 0, "median_ms"), KeyError),
        (("rows", 0, "median_ms"), "1.25"),
        (("rows", 0, "median_ms"), -1),
        (("rows", 0, "top1"), 93),
        (("rows", 0, "model"), None),
        (("rows", 0, "status"), "fine"),
        (("rows", 0, "quantization"), "int4"),
        (("rows", 0, "threads"), 0),
        (("rows", 0, "compression"), "zip"),
        (("rows", 0, "sparsity"), 75),
        (("rows", 0, "drift"), -2),
        (("rows", 0, "peer_ratio"), 0),
        (("rows", 0, "estimated"), "yes"),
        (("rows", 0, "latency"), 3),
        (("environment", "timestamp"), "yesterday"),
        (("environment", "model_sha256"), {"m.tflite": "abc"}),
        (("environment", "soc"), KeyError),
    ],
)
def test_a_file_that_does_not_fit_is_refused_in_one_line(tmp_path, content, path, value):
    set_in(content, path, value)
    with pytest.raises(UserError) as refused:
        read_results(write(tmp_path / "results.json", content))
    assert "\n" not in str(refused.value) and "results.json does not fit" in str(refused.value)
    assert value is KeyError or str(path[-1]) in str(refused.value)


def test_rows_that_do_not_fit_are_not_written(tmp_path):
    with pytest.raises(UserError, match="top1"):
        write_results(tmp_path / "results.json", [Row("m", top1=93.0)], PHONE)
    assert list(tmp_path.iterdir()) == []


def test_not_json_and_missing_files_are_refused(tmp_path):
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(UserError, match="JSON"):
        read_results(tmp_path / "results.json")
    with pytest.raises(UserError, match="does not exist"):
        read_results(tmp_path / "none.json")
    with pytest.raises(UserError, match="cannot read"):
        sha256(tmp_path / "none.tflite")


@pytest.mark.parametrize(
    ("backend", "delegated", "shown"),
    [("nnapi", 0, "CPU (nothing delegated to nnapi)"), ("nnapi", 3, "nnapi"), ("xnnpack", 0, "xnnpack")],
)
def test_a_row_that_fell_back_to_the_cpu_is_not_shown_as_the_accelerator_s(backend, delegated, shown):
    row = Row("m", backend=backend, threads=1, median_ms=1.0, nodes_total=5, nodes_delegated=delegated)
    assert f"| {shown} " in markdown([row])
