"""keras-mobilenets benchmark: folders of .tflite files, results.json, the baseline's exit code, the profile."""

import json
import shutil

import pytest

from keras_mobilenets.cli import main
from keras_mobilenets.tflite import read_results


@pytest.fixture(scope="module")
def folder(tflite_files, tmp_path_factory):
    """A folder of two .tflite files and nothing else, benchmarked."""
    path = tmp_path_factory.mktemp("models")
    for name in ("float32", "int8"):
        shutil.copy(tflite_files[name], path)
    assert main(["benchmark", str(path), "--threads", "1", "2", "--no-page"]) == 0
    return path


@pytest.fixture
def faster(folder, tmp_path):
    """A baseline in which every model took a hundredth of the time."""
    content = json.loads((folder / "results.json").read_text())
    for row in content["rows"]:
        row["median_ms"] /= 100
    path = tmp_path / "faster.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.slow
def test_a_plain_folder_gets_results_of_every_model_and_number_of_threads(folder):
    rows = read_results(folder / "results.json").rows
    assert [(row.model, row.threads) for row in rows] == [("float32", 1), ("int8", 1), ("float32", 2), ("int8", 2)]
    for row in rows:
        assert row.gmacs_per_s > 0 and 0 < row.limit_share < 1.5 and row.drift > -1
        assert row.macs == rows[0].macs
    assert not (folder / "report.html").exists()


def test_what_was_measured_is_not_measured_again(folder, capsys):
    before = (folder / "results.json").read_bytes()
    assert main(["benchmark", str(folder), "--threads", "2"]) == 0
    assert (folder / "results.json").read_bytes() == before
    out = capsys.readouterr()
    assert "of" in out.out and "best convolution" in out.out
    assert "<svg" in (folder / "report.html").read_text() and "report.html" in out.err


def test_code_1_when_slower_than_the_baseline_and_0_when_not(folder, faster, tmp_path, capsys):
    model = str(folder / "int8.tflite")
    fresh = tmp_path / "fresh.json"
    assert main(["benchmark", model, "--baseline", str(faster), "--out", str(fresh), "--no-page"]) == 1
    out = capsys.readouterr()
    assert "slower than 5%" in out.out and "not measured now: float32 on xnnpack with 1 thread" in out.out
    assert "1 slower by more than 5.0%" in out.err
    content = json.loads(fresh.read_text())
    content["rows"][0]["median_ms"] *= 100
    fresh.write_text(json.dumps(content))
    assert main(["benchmark", model, "--baseline", str(fresh), "--fail-over", "0.1"]) == 0


@pytest.mark.slow
def test_peers_take_turns_with_a_run_and_keep_their_own_results(tflite_files, tmp_path, capsys):
    shutil.copy(tflite_files["int8"], tmp_path / "m_int8.tflite")
    asked = {"builder": "MobileNetV1", "arguments": {"alpha": 0.25}}
    (tmp_path / "run.json").write_text(json.dumps({"train": asked}))
    assert main(["benchmark", str(tmp_path), "--peers", "--no-page"]) == 0
    (mine,) = read_results(tmp_path / "results.json").rows
    (peer,) = read_results(tmp_path / "peers" / "results.json").rows
    assert peer.model == "keras.applications.MobileNet_int8" and peer.quantization == "int8"
    assert mine.peer_ratio == pytest.approx(mine.median_ms / peer.median_ms, rel=1e-3) and mine.peer_ratio < 1
    assert peer.peer_ratio is None and "vs stock" in capsys.readouterr().out


def test_the_profile_lists_the_operators_and_writes_nothing(tflite_files, tmp_path, capsys):
    shutil.copy(tflite_files["float32"], tmp_path)
    assert main(["benchmark", str(tmp_path), "--profile"]) == 0
    out = capsys.readouterr()
    assert "DEPTHWISE_CONV_2D" in out.out and "1×16×16×160" in out.out and "without the profiler" in out.err
    assert [path.name for path in tmp_path.iterdir()] == ["float32.tflite"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["{file}", "--peers"], "needs the folder of a run"),
        (["{folder}", "--peers", "--again"], "no run.json that names its model"),
        (["{file}", "{folder}", "--out", "x.json"], "one folder, or files only"),
        (["{file}", "--baseline", "{folder}/missing.json"], "does not exist"),
        (["{folder}/missing"], "does not exist"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(folder, arguments, says, capsys):
    given = [text.format(file=folder / "int8.tflite", folder=folder) for text in arguments]
    assert main(["benchmark", *given]) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1


@pytest.mark.parametrize("share", ["5", "-1%", "much", "5%%"])
def test_a_limit_that_is_no_share_is_refused(folder, share, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["benchmark", str(folder), f"--fail-over={share}"])
    assert stopped.value.code == 2 and "5% or 0.05" in capsys.readouterr().err
