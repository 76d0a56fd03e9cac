"""`keras-mobilenets android` with a stand-in for adb: the road to the table, and one line for each mishap on it."""

import hashlib
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from keras_mobilenets.cli import adb, android, main
from keras_mobilenets.tflite import read_bundle, read_results, write_results
from keras_mobilenets.tflite.bundles.manifest import Bundle, BundledModel, ImageSet, Probes, TensorSpec, write_manifest
from keras_mobilenets.tflite.results.results import Row, environment

DIGEST = hashlib.sha256(b"TFL3").hexdigest()  # of the model in `bundle`
REPOSITORY = Path(__file__).resolve().parents[2]
STATUS = ["INSTRUMENTATION_STATUS_CODE: 0"]
ROWS = [
    f"INSTRUMENTATION_STATUS: progress={done}/2 {what}{end}"
    for done, what, end in ((0, "", ""), (1, "net_int8 cpu-1", ""), (2, "net_int8 nnapi", ""))
]
WELL = [ROWS[0], *STATUS, ROWS[1], *STATUS, ROWS[2], *STATUS, "INSTRUMENTATION_RESULT: results=/sdcard/x", ""]
WELL += ["INSTRUMENTATION_CODE: -1"]
CRASH = ["INSTRUMENTATION_RESULT: shortMsg=Process crashed.", "INSTRUMENTATION_CODE: 0"]
NO_APP = [
    "INSTRUMENTATION_STATUS: Error=Unable to find instrumentation info for: ComponentInfo{x/x.Benchmark}",
    "INSTRUMENTATION_STATUS: id=ActivityManagerService",
    "INSTRUMENTATION_STATUS_CODE: -1",
    "android.util.AndroidException: INSTRUMENTATION_FAILED: x/x.BenchmarkInstrumentation",
]


@pytest.fixture
def bundle(tmp_path):
    """A small bundle, whose model is none."""
    folder = tmp_path / "bundle"
    contents = {
        "m/net.tflite": b"TFL3",
        "labels.txt": b"a\nb\n",
        "i.bin": bytes(3),
        "in.bin": bytes(3),
        "o.bin": bytes(8),
    }
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    known = dict.fromkeys(field for field in BundledModel.__dataclass_fields__)
    known |= {"name": "net_int8", "path": "m/net.tflite", "size_bytes": 4, "arguments": {}, "labels": "labels.txt"}
    known |= {"input": TensorSpec((1, 1, 1, 3), "int8", 1.0, 0), "output": TensorSpec((1, 2), "int8", 1.0, 0)}
    known |= {"images": "i.bin", "probes": Probes(1, "in.bin", "o.bin")}
    files = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    write_manifest(Bundle(folder, "test", (BundledModel(**known),), (ImageSet("i.bin", 1, 1, 1, ()),), files))
    return folder


@pytest.fixture
def results(tmp_path):
    """What the app has written."""

    def write(name="phone.json", digest=DIGEST, rows=2):
        made = [
            Row("net_int8", "int8", "xnnpack", 1, model_size_mb=1.0, median_ms=5.0, p90_ms=5.5, num_runs=50),
            Row(
                "net_int8", "int8", "nnapi", model_size_mb=1.0, median_ms=3.2, p90_ms=3.4, accelerator="google-edgetpu"
            ),
        ]
        where = environment() | {"device": "Google Pixel 8", "soc": "Tensor G3", "os": "Android 15"}
        return str(write_results(tmp_path / name, made[:rows], where | {"model_sha256": {"net_int8.tflite": digest}}))

    return write


@pytest.fixture
def phones(tmp_path, monkeypatch):
    """Puts a stand-in for adb on PATH that plays these phones; gives what it was asked."""
    folder = tmp_path / "platform-tools"
    folder.mkdir()
    source = REPOSITORY / "tests" / "stand_in_adb.py"
    (folder / "adb").write_text(f"#!{sys.executable} -SE\n{source.read_text()}")
    (folder / "adb").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(android, "RECONNECT", 0.4)

    def play(phones, **more):
        (folder / "scenario.json").write_text(json.dumps({"phones": phones} | more))

        def log():
            return [json.loads(line) for line in (folder / "log.json").read_text().splitlines()]

        return log

    return play


def last_line(capsys):
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error.splitlines()[-1]


def test_a_bundle_is_pushed_measured_and_fetched(phones, bundle, results, tmp_path, capsys):
    log = phones({"0A1B": {"says": WELL, "results": results()}})
    command = ["android", "run", "--bundle", str(bundle), "--models", "net_int8", "--backends", "cpu-1,nnapi"]
    assert main([*command, "--runs", "20"]) == 0
    found = read_results(tmp_path / "runs/phones/Pixel_8_0A1B/results.json")
    assert [row.median_ms for row in found.rows] == [5.0, 3.2] and found.environment["device"] == "Google Pixel 8"
    captured = capsys.readouterr()
    assert "nnapi" in captured.out and "3.20" in captured.out
    assert captured.err == "runs/phones/Pixel_8_0A1B/results.json: 2 rows\n"

    asked = log()
    place = f"/data/local/tmp/{adb.PACKAGE}/bundle"
    pushed = {f"{call[-1]}/{Path(path).name}" for call in asked if call[2:3] == ["push"] for path in call[3:-1]}
    names = ("manifest.json", "m/net.tflite", "labels.txt", "i.bin", "in.bin", "o.bin")
    assert pushed == {f"{place}/{name}" for name in names}
    shells = [call[3] for call in asked if call[2:3] == ["shell"]]
    started = f"am instrument -w -r -e models net_int8 -e backends cpu-1,nnapi -e runs 20 -e bundle {place}"
    assert shells[-1] == f"{started} {adb.PACKAGE}/.BenchmarkInstrumentation"
    removed = f"rm -f /sdcard/Android/data/{adb.PACKAGE}/files/results.json"
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
    ("state", "says"),
    [
        ("unauthorized", "phone 0A1B does not trust this computer yet: unlock it, tap Allow on it"),
        ("offline", "phone 0A1B is offline"),
        ("no permissions", "install the udev rules"),
        ("recovery", "recovery mode"),
        ("host", "adb calls it host"),
    ],
)
def test_a_phone_that_is_not_ready(phones, capsys, state, says):
    phones({"0A1B": {"state": state}})
    for verb in ("run", "install"):
        (Path("android_demo/build")).mkdir(parents=True, exist_ok=True)
        make_apk(Path(android.APK))
        assert main(["android", verb]) == 2
        assert says in last_line(capsys)


def test_which_phone_must_be_clear(phones, capsys):
    phones({})
    assert main(["android", "run"]) == 2
    assert "no phone is attached: switch USB debugging on" in last_line(capsys)
    phones({"A": {}, "B": {"state": "offline"}})
    assert main(["android", "run"]) == 2
    assert "several phones are attached: choose with --serial" in (line := last_line(capsys))
    assert "A (Pixel_8), B (offline)" in line
    assert main(["android", "run", "--serial", "C"]) == 2
    assert "no phone C is attached" in last_line(capsys)


def test_adb_that_is_not_there_or_does_not_work(phones, capsys, monkeypatch, tmp_path):
    phones({}, daemon="* cannot start server on remote host\nerror: cannot connect to daemon at tcp:5037")
    assert main(["android", "run"]) == 2
    assert "cannot connect to daemon" in last_line(capsys)
    assert main(["android", "run", "--adb", str(tmp_path / "none")]) == 2
    assert "none is no program; install Android's platform tools" in last_line(capsys)
    phones({})
    program = tmp_path / "platform-tools" / "adb"
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("ANDROID_HOME", raising=False)
    monkeypatch.delenv("ANDROID_SDK_ROOT", raising=False)
    assert main(["android", "run"]) == 2
    assert "adb is not on PATH: install Android's platform tools" in last_line(capsys)
    assert main(["android", "run", "--adb", str(program)]) == 2
    assert "no phone is attached" in last_line(capsys)
    monkeypatch.setenv("ANDROID_HOME", str(tmp_path))
    assert main(["android", "run"]) == 2
    assert "no phone is attached" in last_line(capsys)


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
        assert ["-s", "0A1B", "shell", f"am force-stop {adb.PACKAGE}"] in log()


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
        (["--bundle", "{bundle}/m"], "has no manifest.json"),
    ],
)
def test_wrong_arguments_do_not_reach_a_phone(phones, bundle, capsys, options, says):
    phones({"0A1B": {}})
    assert main(["android", "run", *(option.format(bundle=bundle) for option in options)]) == 2
    assert says in last_line(capsys)


def test_the_phones_shell_gets_words_not_commands(phones):
    log = phones({"0A1B": {}})
    phone = adb.Adb().phones()[0]
    phone.shell("rm", "-f", "a b; reboot")
    assert log()[-1] == ["-s", "0A1B", "shell", "rm -f 'a b; reboot'"]


def make_apk(path, content=b"code"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("AndroidManifest.xml", b"\3\0\10\0")
        archive.writestr("classes.dex", content)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_install_puts_the_app_on_the_phone_once(phones, tmp_path, capsys):
    digest = make_apk(tmp_path / android.APK)
    log = phones({"A": {"installed": ""}})
    for says in ("Pixel_8 A has it now", "Pixel_8 A has it already"):
        assert main(["android", "install"]) == 0
        lines = capsys.readouterr().err.splitlines()
        assert lines == [f"{tmp_path / android.APK}, SHA-256 {digest}", says]
    assert sum("install" in call for call in log()) == 1
    assert main(["android", "install", "--sha256", "0" * 64]) == 2
    assert f"its SHA-256 is {digest}" in last_line(capsys)
    phones({"B": {"installed": "0" * 64, "forgets": True}})
    assert main(["android", "install"]) == 2
    assert "did not keep the app" in last_line(capsys)


@pytest.mark.parametrize(
    ("output", "says"),
    [
        ("Failure [INSTALL_FAILED_INSUFFICIENT_STORAGE]", "no space left"),
        ("Failure [INSTALL_FAILED_UPDATE_INCOMPATIBLE: signatures do not match]", "adb uninstall"),
        ("Failure [INSTALL_FAILED_OLDER_SDK: Requires newer sdk version #27]", "Android older"),
        (
            "Failure [INSTALL_PARSE_FAILED_NOT_APK]",
            "did not take the app: adb: failed to install app.apk: Failure [INSTALL_P",
        ),
        ("error: device '0A1B' not found", "went away"),
    ],
)
def test_a_phone_that_refuses_the_app(phones, tmp_path, capsys, output, says):
    make_apk(tmp_path / "app.apk")
    phones(
        {"0A1B": {"installed": "", "install": f"Performing Streamed Install\nadb: failed to install app.apk: {output}"}}
    )
    assert main(["android", "install", "--apk", "app.apk"]) == 2
    assert says in last_line(capsys)


def test_an_apk_that_is_missing_or_damaged(phones, tmp_path, capsys):
    phones({"0A1B": {}})
    assert main(["android", "install", "--apk", "app.apk"]) == 2
    assert "app.apk is missing: make it first with keras-mobilenets android build" in last_line(capsys)
    path = tmp_path / "app.apk"
    make_apk(path, bytes(1000))
    content = path.read_bytes()
    for damaged in (b"", content[:-40], content.replace(bytes(500), b"1" * 500)):
        path.write_bytes(damaged)
        assert main(["android", "install", "--apk", "app.apk"]) == 2
        assert "is no APK or is damaged" in last_line(capsys)


def test_build_runs_the_repositorys_build(bundle, tmp_path, capsys, monkeypatch):
    project = tmp_path / "project"
    (project / "android_demo").mkdir(parents=True)
    script = project / "android_demo" / "build_apk.py"
    script.write_text("import sys, shutil\nassert sys.argv[1] == '--bundle'\nshutil.copy('made.apk', sys.argv[4])")
    monkeypatch.chdir(tmp_path)
    make_apk(tmp_path / "made.apk")
    command = ["android", "build", "--bundle", str(bundle), "--project", str(project)]
    assert main([*command, "--out", "out.apk"]) == 0
    assert "out.apk: 0.0 MB, SHA-256" in capsys.readouterr().err
    script.write_text("import sys\nprint('build_apk.py: mvn is missing', file=sys.stderr)\nsys.exit(2)")
    assert main(command) == 2
    assert capsys.readouterr().err == "keras-mobilenets: mvn is missing\n"
    assert main([*command[:-1], str(bundle)]) == 2
    assert "has no android_demo" in last_line(capsys)


def test_report_joins_phones_and_runs(results, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    row = Row("net_int8", "int8", "xnnpack", 1, model_size_mb=1.0, top1=0.93, median_ms=1.5, p90_ms=1.6)
    where = environment() | {"device": "laptop", "model_sha256": {"net_int8.tflite": DIGEST}}
    write_results(tmp_path / "run" / "results.json", [row], where)
    results("phones/Pixel_8_A/results.json")
    assert main(["android", "report", str(tmp_path / "phones"), str(tmp_path / "run")]) == 0
    printed = capsys.readouterr().out
    line = next(line for line in printed.splitlines() if line.startswith("net"))
    assert re.findall(r"[\d.%]+", line.replace("int8", ""))[-5:] == ["1.00", "93.0%", "5.00", "3.20", "1.50"]
    assert "Google Pixel 8" in printed and "laptop" in printed
    page = (tmp_path / "phones" / "report.html").read_text()
    assert "Google Pixel 8" in page and "93.0%" in page
    assert main(["android", "report", str(tmp_path / "none")]) == 2
    assert "is not a folder nor a results.json" in last_line(capsys)


def test_the_names_are_those_of_the_app():
    demo = REPOSITORY / "android_demo"
    found = ElementTree.parse(demo / "app/src/main/AndroidManifest.xml").find("instrumentation").attrib
    space = "{http://schemas.android.com/apk/res/android}"
    assert found[f"{space}targetPackage"] == adb.PACKAGE
    assert found[f"{space}name"] in (f"{adb.PACKAGE}.BenchmarkInstrumentation", ".BenchmarkInstrumentation")
    assert android.APK.name in (demo / "build_apk.py").read_text()


def test_the_command_line_as_a_user_types_it(phones, results, tmp_path):
    phones({"0A1B": {"says": WELL, "results": results()}})
    command = [sys.executable, "-m", "keras_mobilenets", "android", "run"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "3.20" in done.stdout and done.stderr == "runs/phones/Pixel_8_0A1B/results.json: 2 rows\n"
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PATH": str(tmp_path)})
    assert done.returncode == 2 and done.stderr.startswith("keras-mobilenets: adb is not on PATH: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("verb", ["bundle", "zoo", "build", "install", "run", "report"])
def test_every_verb_has_an_example_in_its_help(verb, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["android", verb, "--help"])
    assert stopped.value.code == 0
    assert f"example:\n  keras-mobilenets android {verb}" in capsys.readouterr().out


@pytest.mark.slow
def test_the_zoo_untrained_is_for_latency(tmp_path, capsys):
    command = ["android", "zoo", "--untrained", "--size", "64", "--classes", "5", "--networks", "MobileNetV3Small"]
    command += ["--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "bundle")]
    assert main(command) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed] == [
        f"mobilenetv3small_{kind}" for kind in ("float32", "float16", "int8")
    ]
    assert all("top-1 unknown" in line for line in printed)
    bundle = read_bundle(tmp_path / "bundle")
    for model in bundle.models:
        assert (model.builder, model.host_top1) == ("MobileNetV3Small", None)
        assert model.parameters > 1_000_000 and model.macs > 1_000_000
        outputs = bundle.probe_outputs(model)
        assert (outputs.max(axis=1) - outputs.min(axis=1) > 0.3).all()  # so that a wrong answer shows
    float32, float16, _ = (bundle.probe_outputs(model) for model in bundle.models)
    assert 0 < np.abs(float32 - float16).max() < 0.25
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*") if path.is_file()}
    assert main(command) == 0
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*") if path.is_file()}
    capsys.readouterr()
    assert main([*command, "--size", "32"]) == 2
    assert "network with size 64, not 32" in last_line(capsys)
    assert main([*command[:-4], "VGG16", *command[-4:]]) == 2
    assert "--networks VGG16: choose of StandardConvNet, MobileNetV1" in last_line(capsys)


@pytest.mark.slow
def test_the_zoo_trained_has_float_ptq_and_qat(tmp_path):
    rng = np.random.default_rng(0)
    for name, tint in (("red", (1, 0.3, 0.3)), ("blue", (0.3, 0.3, 1))):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for index in range(40):
            pixels = (rng.uniform(60, 255, (32, 32, 3)) * tint).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{index}.png")
    command = ["android", "zoo", "--data", str(tmp_path / "photos"), "--size", "32", "--epochs", "1"]
    command += ["--batch-size", "8", "--calibration", "8", "--networks", "MobileNetV1"]
    assert main([*command, "--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "bundle")]) == 0
    bundle = read_bundle(tmp_path / "bundle")
    kinds = [(model.quantization, model.compression) for model in bundle.models]
    assert kinds == [("none", None), ("float16", None), ("int8", None), ("int8", "qat")]
    for model in bundle.models:
        assert 0 <= model.host_top1 <= 1 and 0 <= model.test_top1 <= 1 and model.macs
        assert bundle.class_names(model) == ["blue", "red"]
