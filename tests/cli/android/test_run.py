"""`android run` with a stand-in for adb: the road to results.json, and one line for each mishap on it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import last_line
from phone_samples import CRASH, NO_APP, WELL

from keras_mobilenets.cli import main
from keras_mobilenets.cli.android.phone import PACKAGE
from keras_mobilenets.tflite import read_results


def test_a_bundle_is_pushed_measured_and_fetched(phones, bundle, results, tmp_path, capsys):
    log = phones({"0A1B": {"says": WELL, "results": results()}})
    command = ["android", "run", "--bundle", str(bundle), "--models", "net_int8", "--backends", "cpu-1"]
    assert main([*command, "--runs", "20", "--soak", "10"]) == 0
    found = read_results(tmp_path / "runs/phones/Pixel_8_0A1B/results.json")
    assert [row.median_ms for row in found.rows] == [5.0, 3.2] and found.environment["device"] == "Google Pixel 8"
    captured = capsys.readouterr()
    assert "nnapi" in captured.out and "3.20" in captured.out
    assert captured.err == "runs/phones/Pixel_8_0A1B/results.json: 2 rows\n"

    asked = log()
    place = f"/data/local/tmp/{PACKAGE}/bundle"
    pushed = {f"{call[-1]}/{Path(path).name}" for call in asked if call[2:3] == ["push"] for path in call[3:-1]}
    names = ("manifest.json", "m/net.tflite", "labels.txt", "i.bin", "in.bin", "o.bin")
    assert pushed == {f"{place}/{name}" for name in names}
    shells = [call[3] for call in asked if call[2:3] == ["shell"]]
    started = f"am instrument -w -r -e models net_int8 -e backends cpu-1 -e runs 20 -e soak 10 -e bundle {place}"
    assert shells[-1] == f"{started} {PACKAGE}/.BenchmarkInstrumentation"
    removed = f"rm -f /sdcard/Android/data/{PACKAGE}/files/results.json"
    assert shells.index(removed) == len(shells) - 2  # what is fetched then is of this run
    assert shells[1] == f"rm -rf {place}" or shells[2] == f"rm -rf {place}"


def test_several_phones_are_measured_and_one_that_fails_stops_no_other(phones, results, tmp_path, capsys):
    says = {"A": ["sleep 1.5", *WELL], "B": WELL, "C:5555": CRASH}
    log = phones({serial: {"says": lines, "results": results()} for serial, lines in says.items()})
    chosen = ["--serial", "A", "--serial", "B"]
    assert main(["android", "run", *chosen]) == 0
    assert {path.name for path in (tmp_path / "runs/phones").iterdir()} == {"Pixel_8_A", "Pixel_8_B"}
    steps = [
        (call[1], "pull" if "pull" in call else "start") for call in log() if "pull" in call or "instrument" in call[-1]
    ]
    assert sorted(steps) == [("A", "pull"), ("A", "start"), ("B", "pull"), ("B", "start")]
    assert steps.index(("B", "start")) < steps.index(("A", "pull"))  # side by side
    capsys.readouterr()
    assert main(["android", "run", *chosen, "--serial", "C:5555", "--in-turn", "--out", "there"]) == 2
    assert "the app crashed on phone Pixel_8 C:5555" in last_line(capsys)
    assert [call[1] for call in log() if "instrument" in call[-1]][2:] == ["A", "B", "C:5555"]
    assert (tmp_path / "there/Pixel_8_B/results.json").exists() and (
        tmp_path / "there/Pixel_8_C_5555/results.json"
    ).exists()


@pytest.mark.parametrize(
    ("lines", "rows", "says"),
    [
        ([*WELL[:4], *CRASH], 1, "the app crashed on phone Pixel_8 0A1B after 1 of 2 rows (Process crashed.); kept: "),
        (
            [WELL[0], "INSTRUMENTATION_RESULT: longMsg=java.lang.OutOfMemoryError: 40 MB", *CRASH],
            0,
            "after 0 of 2 rows (java.lang.OutOfMemoryError: 40 MB); no row was kept",
        ),
        (["INSTRUMENTATION_ABORTED: System has crashed."], 0, "crashed on phone Pixel_8 0A1B before the first row"),
        (NO_APP, 0, "too old or not this one: keras-mobilenets android install"),
        (["INSTRUMENTATION_RESULT: error=no model net", "INSTRUMENTATION_CODE: 0"], 0, "0A1B refused: no model net"),
        ([*WELL[:4], "Killed"], 1, "ended after 1 of 2 rows without an answer (Killed); kept: "),
        ([*WELL[:4], "unplug 3"], 1, "phone Pixel_8 0A1B went away after 1 of 2 rows; kept: "),
        (
            [*WELL[:4], "unplug 99"],
            1,
            "which it keeps: plug it in, then keras-mobilenets android run --collect --serial 0A1B",
        ),
        ([*WELL[:4], "sleep 5"], 1, "said nothing for 1 s after 1 of 2 rows and was stopped; kept: "),
    ],
    ids=["crash", "out of memory", "system crash", "no app", "refused", "no answer", "cable", "cable gone", "time-out"],
)
def test_a_run_that_breaks_keeps_what_was_measured(phones, results, tmp_path, capsys, lines, rows, says):
    log = phones({"0A1B": {"says": lines, "results": results(rows=rows) if rows else None}})
    assert main(["android", "run", "--timeout", "0.015"]) == 2
    assert says in last_line(capsys)
    kept = tmp_path / "runs/phones/Pixel_8_0A1B/results.json"
    assert kept.exists() == ("kept: " in says)
    if kept.exists():
        assert len(read_results(kept).rows) == rows
    if "sleep" in lines[-1] or "Killed" in lines[-1]:
        assert ["-s", "0A1B", "shell", f"am force-stop {PACKAGE}"] in log()


def test_rows_of_a_broken_run_are_fetched_later(phones, results, tmp_path, capsys):
    log = phones({"0A1B": {"results": results(rows=1)}})
    assert main(["android", "run", "--collect"]) == 0
    assert len(read_results(tmp_path / "runs/phones/Pixel_8_0A1B/results.json").rows) == 1
    assert not any("instrument" in call[-1] for call in log())
    phones({"0A1B": {}})
    assert main(["android", "run", "--collect", "--out", "other"]) == 2
    assert "holds no results.json" in last_line(capsys)
    assert not Path("other/Pixel_8_0A1B/results.json").exists()


def test_a_phone_without_the_app_or_without_space(phones, bundle, capsys):
    phones({"0A1B": {"installed": ""}})
    assert main(["android", "run"]) == 2
    assert "the app is not on phone Pixel_8 0A1B: keras-mobilenets android install" in last_line(capsys)
    full = (
        "adb: error: failed to copy 'm/net.tflite' to '/data/local/tmp/x': remote write failed: No space left on device"
    )
    log = phones({"0A1B": {"push": full}})
    assert main(["android", "run", "--bundle", str(bundle)]) == 2
    assert "phone Pixel_8 0A1B has no space left: free some on it" in last_line(capsys)
    assert log()[-1][-1].startswith("rm -rf /data/local/tmp/")
    phones({"0A1B": {"push": "adb: error: failed to copy: remote couldn't create file: Permission denied"}})
    assert main(["android", "run", "--bundle", str(bundle)]) == 2
    assert "did not take the bundle: adb: error: failed to copy: remote couldn't create file" in last_line(capsys)


def test_results_that_cannot_be_those_of_the_run_are_refused(phones, bundle, results, tmp_path, capsys):
    path = Path(results())
    content = json.loads(path.read_text())
    content["rows"][0]["median_ms"] = "fast"
    path.write_text(json.dumps(content))
    phones({"0A1B": {"says": WELL, "results": str(path)}})
    assert main(["android", "run"]) == 2
    line = last_line(capsys)
    assert "does not fit results.schema.json at rows[0].median_ms" in line and "install the app again" in line
    there = {path.name for path in (tmp_path / "runs/phones/Pixel_8_0A1B").iterdir()}
    assert there == {"refused.json"} and "refused.json" in line
    phones({"0A1B": {"says": WELL, "results": results(digest="f" * 64)}})
    assert main(["android", "run", "--bundle", str(bundle)]) == 2
    assert "measured other models than those of" in last_line(capsys)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--models", "net;reboot"], "names with commas"),
        (["--backends", "$(reboot)"], "names with commas"),
        (["--models", ","], "names with commas"),
        (["--models", "nut", "--bundle", "{bundle}"], "holds no model nut: it has net_int8"),
        (["--runs", "0"], "--runs 0"),
        (["--timeout", "0"], "--timeout 0"),
        (["--soak", "0"], "--soak 0: give 1 to 60 minutes"),
        (["--soak", "10", "--models", "net_int8"], "--soak is of one row: give one name each"),
        (["--bundle", "{bundle}/m"], "has no manifest.json"),
    ],
)
def test_wrong_arguments_do_not_reach_a_phone(phones, bundle, capsys, options, says):
    phones({"0A1B": {}})
    assert main(["android", "run", *(option.format(bundle=bundle) for option in options)]) == 2
    assert says in last_line(capsys)


def test_the_command_line_as_a_user_types_it(phones, results, tmp_path):
    phones({"0A1B": {"says": WELL, "results": results()}})
    command = [sys.executable, "-m", "keras_mobilenets", "android", "run"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "3.20" in done.stdout and done.stderr == "runs/phones/Pixel_8_0A1B/results.json: 2 rows\n"
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PATH": str(tmp_path)})
    assert done.returncode == 2 and done.stderr.startswith("keras-mobilenets: adb is not on PATH: ")
    assert done.stderr.count("\n") == 1
