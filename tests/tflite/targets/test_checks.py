"""One question for all targets, and answers that say how they are known."""

from dataclasses import replace

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from keras_mobilenets import cli, tflite
from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.targets import checks
from keras_mobilenets.tflite.targets.accelerators import gpu


@pytest.fixture
def without_gpu(monkeypatch):
    """This machine without the GPU delegate's driver."""
    absent = replace(gpu.ENVIRONMENT, probe=("/nowhere/driver.json",))
    monkeypatch.setattr(gpu, "ENVIRONMENT", absent)
    monkeypatch.setitem(checks.TARGETS, "gpu", replace(checks.TARGETS["gpu"], environment=absent))


def test_xnnpack_is_asked_of_the_runtime(tflite_files):
    check = tflite.check(tflite_files["int8"], "xnnpack")
    found = tflite.inspect(tflite_files["int8"])
    assert (check.total, check.delegated, check.partitions) == (found.nodes, found.nodes_delegated, found.partitions)
    assert [op.name for op in check.operators] == [op.name for op in found.operators]
    assert [op.name for op in check.refused] == ["SOFTMAX"] and not check.ok
    assert check.evidence == "run" and check.macs_share == 1.0
    assert tflite.check(tflite_files["float32"], "xnnpack").ok


@pytest.mark.parametrize(("target", "level"), [("nnapi", 31), ("nnapi:28", 28)])
def test_nnapi_is_judged_by_rules(tflite_files, target, level):
    check = tflite.check(tflite_files["dynamic"], target)
    assert check == tflite.check_nnapi(tflite_files["dynamic"], level)
    assert check.evidence == "rules" and "rules written from source" in str(check)


def test_without_its_driver_the_gpu_is_judged_by_rules_and_says_so(tflite_files, without_gpu):
    check = tflite.check(tflite_files["int8"], "gpu")
    assert check.operators == tflite.check_gpu(tflite_files["int8"]).operators
    assert check.evidence == "rules" and "apt-get install chromium-common libvulkan1" in str(check)
    with pytest.raises(UserError, match=r"^gpu cannot be asked here, .* apt-get install chromium-common libvulkan1$"):
        tflite.evaluate(tflite_files["int8"], np.zeros((1, 32, 32, 3), np.uint8), on="gpu")


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("gpuu", "unknown target 'gpuu': give one of xnnpack, nnapi:31, gpu, qualcomm:SM8750, "),
        ("nnapi:20", "unknown variant '20' of nnapi: give nnapi:27|"),
        ("ethos-u55-100", "unknown variant 'u55-100' of ethos: give ethos-u55-32|u55-64|"),
        ("gpu:2", "unknown variant '2' of gpu: gpu has none"),
        ("reference", "there is nothing to check"),
    ],
)
def test_a_target_that_cannot_be_asked_is_one_line(tflite_files, target, says, capsys):
    with pytest.raises(UserError) as refused:
        tflite.check(tflite_files["int8"], target)
    assert says in str(refused.value) and "\n" not in str(refused.value)
    assert cli.main(["inspect", str(tflite_files["int8"]), "--on", target]) == 2
    assert says in capsys.readouterr().err


def test_nnapi_cannot_be_run_here(tflite_files):
    with pytest.raises(UserError, match=r"^nnapi cannot be run here; give one of gpu, .*, reference$"):
        tflite.evaluate(tflite_files["int8"], np.zeros((1, 32, 32, 3), np.uint8), on="nnapi")


def test_several_targets_are_shown(tflite_files, without_gpu, capsys):
    assert cli.main(["inspect", str(tflite_files["int8"]), "--on", "xnnpack", "nnapi:30", "gpu"]) == 0
    shown = capsys.readouterr().out
    assert [line.split()[0] for line in shown.splitlines() if line.startswith("evidence")] == ["evidence"] * 3
    assert "API level 30" in shown and "GPU delegate" in shown


def test_the_reference_kernels_answer_beside_the_cpu(tflite_files, pixels):
    path = tflite_files["int8"]
    found = tflite.evaluate(path, pixels, on="reference")
    plain = Interpreter(str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    plain.allocate_tensors()
    source, sink = plain.get_input_details()[0], plain.get_output_details()[0]
    step, zero_point = sink["quantization"]
    expected = []
    for image in (pixels.astype(np.int16) - 128).astype(np.int8):
        plain.set_tensor(source["index"], image[None])
        plain.invoke()
        expected.append((plain.get_tensor(sink["index"])[0].astype(np.float32) - zero_point) * np.float32(step))
    np.testing.assert_array_equal(found.predictions, expected)
    here = tflite.evaluate(path, pixels)
    assert (here.on, here.agreement, here.max_difference) == ("cpu", None, None)
    assert found.max_difference == np.abs(found.predictions - here.predictions).max() <= 2 * step
    assert found.agreement == (found.predictions.argmax(1) == here.predictions.argmax(1)).mean() > 0.9
    assert str(found).startswith("on reference: same class as on the CPU ")


def test_the_targets_are_listed_with_what_makes_them_so(without_gpu, capsys):
    assert cli.main(["targets"]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    assert rows.keys() >= {"xnnpack", "nnapi:31", "gpu", "ethos-u55-128", "micro", "reference"}
    assert rows["gpu"].rstrip().endswith("no  apt-get install chromium-common libvulkan1")
    assert "rules" in rows["nnapi:31"]
