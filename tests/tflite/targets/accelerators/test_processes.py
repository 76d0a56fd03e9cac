"""Programs in a process of their own: their answers, and every way in which they can fail."""

import sys
from pathlib import Path

import numpy as np
import pytest

from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.targets.accelerators import processes

START = """
import json, os, sys, time
from pathlib import Path
folder = Path(sys.argv[1])
arguments = json.loads((folder / "arguments.json").read_text())
def answer(**values):
    (folder / "values.json").write_text(json.dumps(values))
"""


@pytest.fixture
def ask(tmp_path, monkeypatch):
    """Runs the text of a program."""
    monkeypatch.setattr(processes, "PROGRAMS", tmp_path)

    def run(text, inputs=None, **settings):
        (tmp_path / "program.py").write_text(START + text)
        settings.setdefault("seconds", 30)
        return processes.run(
            Path(sys.executable), "program", {"path": tmp_path}, inputs, what="m on a target", **settings
        )

    return run


def test_the_answer_comes_back(ask, tmp_path):
    images = np.arange(24, dtype=np.int8).reshape(2, 2, 2, 3)
    answer = ask(
        """
import numpy as np
found = np.load(folder / "inputs.npy")
for image in found:
    print("one", flush=True)
np.save(folder / "outputs.npy", -found)
print("a remark", file=sys.stderr)
answer(path=arguments["path"], driver=os.environ["DRIVER"])
""",
        images,
        variables={"DRIVER": "here"},
    )
    assert answer.outputs.dtype == np.int8 and (answer.outputs == -images).all()
    assert answer.values == {"path": str(tmp_path), "driver": "here"}
    assert answer.log == "a remark\n"


def test_a_program_may_give_no_outputs(ask):
    assert ask("answer(pieces=2)").outputs is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('print("Check failed: scale", file=sys.stderr); print("INFO: bye", file=sys.stderr); os.abort()',
         r"m on a target crashed \(signal 6\): Check failed: scale"),
        ('raise ValueError("no such operator\\nin this file")', "m on a target failed: ValueError: no such operator"),
        ("sys.exit(3)", "m on a target failed: it said nothing"),
        ('answer(error="the chip is too small")', "m on a target: the chip is too small"),
        ("sys.exit(0)", "m on a target failed: it gave no answer"),
        ('answer(); (folder / "values.json").write_text("{")', "m on a target failed: it gave no answer"),
    ],
    ids=["crash", "exception", "exit code", "error", "no answer", "half an answer"],
)  # fmt: skip
def test_a_failure_is_one_line(ask, text, says):
    with pytest.raises(UserError, match=f"^{says}$"):
        ask(text)


def test_an_answer_for_some_of_the_images_is_none(ask):
    text = 'import numpy as np; np.save(folder / "outputs.npy", np.zeros((2, 7))); answer()'
    with pytest.raises(UserError, match=r"^m on a target failed: it answered 2 of 3 images$"):
        ask(text, np.zeros((3, 1), np.int8))


def test_what_hangs_is_stopped_with_all_that_it_started(ask, tmp_path):
    text = f"""
import subprocess
child = subprocess.Popen(["sleep", "100"])
Path({str(tmp_path)!r}, "child").write_text(str(child.pid))
print("one", flush=True)
time.sleep(100)
"""
    with pytest.raises(
        UserError, match=r"^m on a target took more than 2 s without a sign of progress and was stopped$"
    ):
        ask(text, np.zeros((2, 1), np.int8), seconds=2)
    state = Path("/proc", (tmp_path / "child").read_text(), "stat")
    assert not state.exists() or state.read_text().split()[2] == "Z"


def test_each_image_has_the_time_of_its_own(ask):
    text = """
import numpy as np
for _ in range(4):
    time.sleep(0.7)
    print("one", flush=True)
np.save(folder / "outputs.npy", np.zeros((4, 7)))
answer()
"""
    assert ask(text, np.zeros((4, 1), np.int8), seconds=2).outputs.shape == (4, 7)
