"""The verbs' arguments: help, and one line for each mistake."""

import re
import subprocess
import sys

import pytest
from command_line import one_line

from keras_mobilenets.cli import main
from keras_mobilenets.cli.parser import PHONE_VERBS, VERBS


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["summary", "MobilNetV2"], "did you mean MobileNetV2"),
        (["summary", "MobileNetV2", "--alpha", "0"], "alpha=0"),
        (["summary", "MobileNetV2", "--size", "31"], "32 or more"),
        (["summary", "MobileNetV2", "--set", "depth=2"], "takes no 'depth'"),
        (["summary", "MobileNetV2", "--set", "depth"], "ARGUMENT=VALUE"),
        (["train", "MobileNetV2", "--run", "{tmp}/r", "--epochs", "0"], "epochs"),
        (["train", "MobileNetV2", "--run", "{tmp}/r", "--data", "{tmp}/none"], "is not a folder"),
        (["train", "MobileNetV2", "--run", "{tmp}/r", "--data", "{tmp}"], "class"),
        (["convert", "{tmp}/none"], "does not exist"),
        (["convert", "{tmp}/none", "--pixels", "-1..1"], "does not exist"),
        (["convert", "{tmp}"], "model.keras"),
        (["inspect", "{tmp}/none.tflite"], "does not exist"),
        (["inspect", "{tmp}/text.tflite"], "not a .tflite file"),
        (["inspect", "{tmp}"], "not a .tflite file"),
        (["evaluate", "{tmp}"], "not a .tflite file"),
        (["evaluate", "{tmp}/text.tflite", "--data", "{tmp}"], "not a .tflite file"),
        (["evaluate", "{tmp}/text.tflite"], "--data"),
        (["benchmark", "{tmp}/text.tflite"], "not a .tflite file"),
        (["report", "{tmp}/none"], "not a folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_answered_by_one_line_and_exit_code_2(command, says, tmp_path, capsys):
    (tmp_path / "text.tflite").write_text("this is no model")
    assert main([part.format(tmp=tmp_path) for part in command]) == 2
    assert says in one_line(capsys)
    assert {path.name for path in tmp_path.iterdir()} == {"text.tflite"}


def test_arguments_that_cannot_be_read_are_answered_byone_line(capsys):
    for command in (["trian"], [], ["train", "MobileNetV2"], ["summary", "MobileNetV2", "--alpha", "half"]):
        with pytest.raises(SystemExit) as stopped:
            main(command)
        assert stopped.value.code == 2
        assert "--help" in one_line(capsys)


def test_debug_shows_the_traceback(tmp_path):
    command = [sys.executable, "-m", "keras_mobilenets", "--debug", "inspect", str(tmp_path / "none.tflite")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "Traceback" in done.stderr


def test_help_imports_nothing_heavy():
    code = """
import sys
from keras_mobilenets.cli.parser import make_parser
make_parser().format_help()
print([name for name in ("keras", "tensorflow", "numpy", "rich", "matplotlib") if name in sys.modules])
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize("verb", [*VERBS, *PHONE_VERBS], ids=lambda verb: verb.__name__)
def test_every_verb_has_an_example_in_its_help(verb, capsys):
    group, name = verb.__name__.split(".")[-2:]
    typed = ["android", name] if group == "android" else [name]
    with pytest.raises(SystemExit) as stopped:
        main([*typed, "--help"])
    assert stopped.value.code == 0
    assert f"example:\n  keras-mobilenets {' '.join(typed)}" in capsys.readouterr().out


def test_no_verb_is_missing(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    listed = capsys.readouterr().out.partition("VERB\n")[2]
    verbs = "models choose summary search zeroshot train distill qat prune explain convert export errors sensitivity"
    last = ["inspect", "targets", "evaluate", "benchmark", "report", "web", "push", "pipeline", "android"]
    assert re.findall(r"^ {4}(\w+)\b", listed, re.MULTILINE) == [*verbs.split(), *last]
