"""`models` and `summary`."""

import re

import pytest

from keras_mobilenets.cli import main


def test_models_lists_every_builder(capsys):
    import keras_mobilenets as km

    assert main(["models"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in km.list_models())
    assert "3,504,872" in printed


def test_models_shows_what_was_published_on_phones_beside_a_model_s_own_figures(capsys):
    assert main(["models", "--phones", "--family", "MobileNetV1"]) == 0
    printed = capsys.readouterr().out
    assert len(re.findall(r" ms  \[\d+\]$", printed, re.MULTILINE)) == 57
    own, first, *_ = printed.split("MobileNetV1(alpha=0.25) 128: ")[1].splitlines()
    assert own == "470,072 parameters, 13.6 M multiply-adds, 41.5% ImageNet top-1"
    assert re.fullmatch(r"  Pixel 3 \(Android 10\) +TFLite CPU 4 threads +uint8 \(QAT\) +0.8 ms  \[(\d+)\]", first)
    number = first.rpartition("[")[2]
    assert f"\n[{number} tensorflow/tensorflow lite/g3doc/guide/hosted_models.md\n" in printed


@pytest.mark.parametrize("limits", [["--family", "VGG16"], ["--max-params", "1K"]])
def test_models_says_in_a_line_that_no_latency_was_published(limits, capsys):
    assert main(["models", "--phones", *limits]) == 2
    assert capsys.readouterr().err == "keras-mobilenets: no latency was published of a network within these limits\n"


def test_summary_prints_layers_and_what_standard_convolutions_would_cost(capsys):
    assert main(["summary", "MobileNetV1", "--size", "224"]) == 0
    printed = capsys.readouterr().out
    assert "block_13_pointwise" in printed
    assert "4,231,976 trainable parameters, 568.7 M multiply-adds" in printed
    assert "29,294,088 parameters" in printed


def test_summary_takes_the_length_of_what_hears(capsys):
    macs = []
    for size in ([], ["--size", "8000"]):
        assert main(["summary", "DSCNNSmall", "--set", "front_end=False", "--classes", "12", *size]) == 0
        macs.append(capsys.readouterr().out)
    assert macs[0] != macs[1]
