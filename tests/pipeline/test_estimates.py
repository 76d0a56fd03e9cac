"""Estimates of targets' tools beside a run's measured rows: recorded, kept, and never among what was measured."""

import dataclasses
import json
import shutil

import pytest

from keras_mobilenets import pipeline, tflite
from keras_mobilenets.cli import main
from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.targets.accelerators import ethos_u
from keras_mobilenets.tflite.targets.checks import TARGETS, Target
from keras_mobilenets.tflite.targets.xnnpack import check_xnnpack

FIGURES = {"system": "Stand-In 1.0, two cores", "memory": {"SRAM": 74_752}, "estimate_ms": 3.21}


@pytest.fixture
def asked(monkeypatch):
    """A target of two variants whose tool estimates every int8 file the same; gives the files that it was asked for."""
    paths = []

    def check(path, variant):
        paths.append(path.name)
        found = dataclasses.replace(check_xnnpack(path), **FIGURES)
        return found if "int8" in path.name else dataclasses.replace(found, blocked="float is not for this machine")

    target = Target("a stand-in", "compiler", check, variants=("small", "large"), variant="small", estimates=True)
    silent = Target("says nothing", "compiler", lambda path, _: check_xnnpack(path), estimates=True)
    monkeypatch.setitem(TARGETS, "stand-in", target)
    monkeypatch.setitem(TARGETS, "silent", silent)
    return paths


@pytest.fixture
def run(tflite_files, tmp_path):
    """A folder of two files, measured on one thread."""
    for name in ("float32", "int8"):
        shutil.copy(tflite_files[name], tmp_path)
    rows = tflite.benchmark([tmp_path / "float32.tflite", tmp_path / "int8.tflite"], min_seconds=0, min_runs=10)
    run = pipeline.Run(tmp_path)
    run.write([row.with_(parameters=7, top1=0.9) for row in rows])
    return run


def test_estimates_are_recorded_beside_what_was_measured_and_stay(run, asked):
    measured = run.rows()
    failed, found = run.estimate(["stand-in"])
    assert (found.model, found.backend, found.estimated, found.status) == ("int8", "stand-in:small", True, "ok")
    assert {name: getattr(found, name) for name in FIGURES} == FIGURES
    assert (found.quantization, found.parameters, found.nodes_total) == ("int8", 7, measured[1].nodes_total)
    assert found.median_ms is found.top1 is found.threads is None
    assert failed.status == "failed" and "float is not for this machine" in failed.error and failed.estimate_ms is None
    assert tflite.read_results(run.results_file).rows == [*measured, failed, found]
    assert run.rows() == measured and run.estimates() == [failed, found]
    run.estimate(["stand-in:small"])
    assert len(asked) == 2  # nothing was asked again
    assert [row.backend for row in run.estimate(["stand-in:large", "stand-in"])].count("stand-in:large") == 2
    run.estimate(["stand-in"], again=True)
    assert len(asked) == 6 and len(run.estimates()) == 4


def test_what_is_taken_in_part_and_has_no_figure_is_a_row_that_says_why(asked, tflite_files, monkeypatch):
    monkeypatch.setitem(
        TARGETS, "partial", dataclasses.replace(TARGETS["silent"], check=lambda path, _: tflite.check_nnapi(path))
    )
    (row,) = tflite.estimate(tflite_files["dynamic"], "partial")
    assert row.status == "failed" and row.nodes_delegated < row.nodes_total
    assert row.error.startswith("has no figure for a part of a model, refuses ")


def test_steps_that_measure_leave_the_estimates(run, asked):
    estimates = run.estimate(["stand-in"])
    assert [row.estimated for row in run.benchmark([2])] == [None] * 4
    assert run.estimates() == estimates


def test_estimates_of_a_file_that_has_changed_are_gone(run, asked, tflite_files):
    run.estimate(["stand-in"])
    shutil.copy(tflite_files["dynamic"], run.folder / "float32.tflite")
    assert [row.model for row in run.estimates()] == ["int8"]


def test_the_command_line_shows_them_in_a_table_of_their_own(run, asked, capsys):
    assert main(["benchmark", str(run.folder), "--on", "stand-in"]) == 0
    above, below = capsys.readouterr().out.split("Estimated by the targets' own tools, not measured")
    assert "3.21" not in above and "3.21" in below and "SRAM 74.8 kB" in below and "Stand-In 1.0, two cores" in below
    assert "Estimates</h2>" in (run.folder / "report.html").read_text()
    assert main(["benchmark", str(run.folder), "--no-page"]) == 0  # and what was estimated is shown again
    assert "3.21" in capsys.readouterr().out and len(asked) == 2


def test_files_outside_of_a_run_are_estimated_too(run, asked, tmp_path):
    out = tmp_path / "out.json"
    file = str(run.folder / "int8.tflite")
    assert main(["benchmark", file, "--on", "stand-in", "--out", str(out), "--no-page"]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert [(row["backend"], row["estimated"], row["estimate_ms"]) for row in rows] == [
        ("xnnpack", None, None),
        ("stand-in:small", True, 3.21),
    ]


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("toaster", "unknown target 'toaster'"),
        ("stand-in:huge", "unknown variant 'huge' of stand-in"),
        ("xnnpack", "no tool estimates what a model takes on xnnpack: give one of qualcomm, micro, ethos"),
        ("silent", "silent estimates neither latency nor memory"),
    ],
)
def test_a_target_that_estimates_nothing_is_refused_in_one_line(run, asked, target, says):
    before = run.results_file.read_bytes()
    with pytest.raises(UserError) as refused:
        run.estimate([target])
    assert says in str(refused.value) and "\n" not in str(refused.value)
    assert run.results_file.read_bytes() == before


@pytest.mark.slow
def test_vela_estimates_an_int8_model_and_takes_no_float(run):
    if missing := ethos_u.ENVIRONMENT.missing():
        pytest.skip(missing)
    refused, found = run.estimate(["ethos-u55-128"])
    assert (found.model, found.backend, found.nodes_delegated) == ("int8", "ethos-u55-128", found.nodes_total)
    assert 0 < found.estimate_ms < 1 and 0 < found.memory["SRAM"] < 384 * 1024
    assert "Vela" in found.system and "Ethos_U55_High_End_Embedded" in found.system
    assert refused.status == "failed" and refused.nodes_delegated == 0 and "Float32" in refused.error
    (faster,) = tflite.estimate(run.folder / "int8.tflite", "ethos-u55-256")
    assert faster.estimate_ms < found.estimate_ms  # twice the multiply-adds in a cycle


def test_nothing_and_the_profile_cannot_be_estimated(run, asked, capsys):
    with pytest.raises(UserError, match="nothing to estimate"):
        tflite.estimate([], "stand-in")
    assert main(["benchmark", str(run.folder), "--profile", "--on", "stand-in"]) == 2
    assert "give one of them" in capsys.readouterr().err
