"""Damaged .tflite files: what the fuzzing program finds, and one file of each kind of damage it once found."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from networks import randomize

import keras_mobilenets as km
from keras_mobilenets import tflite
from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.runtime import interpreter, sandbox

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "fuzz_tflite.py"


def fuzz(seeds, files, keep):
    command = [sys.executable, str(PROGRAM), *map(str, seeds), "--files", str(files), "--keep", str(keep)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_every_verb_refuses_a_mutated_file_in_one_line_or_answers_what_is_true_of_it(tflite_files, tmp_path):
    found = fuzz(tflite_files.values(), 50, tmp_path)
    assert found["failures"] == 0
    for verb in ("inspect", "evaluate", "check_nnapi"):
        assert found[f"{verb} answers"] > 5 and found[f"{verb} refuses"] > 5


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_thousand_mutated_files(tmp_path):
    seeds, rng = [], np.random.default_rng(0)
    pixels = rng.integers(0, 256, (32, 32, 32, 3)).astype(np.uint8)
    for builder, alpha in (("MobileNetV1", 0.35), ("MobileNetV2", 0.35), ("MobileNetV3Small", 0.75)):
        keras.utils.set_random_seed(0)
        model = randomize(km.create_model(builder, input_shape=(32, 32, 3), alpha=alpha, classes=7))
        for name, settings in {
            "float": {},
            "float16": {"quantize": "float16"},
            "dynamic": {"quantize": "dynamic"},
            "nnapi": {"quantize": "int8", "effort": "low", "calibration": pixels, "target": "nnapi"},
            "xnnpack": {"quantize": "int8", "effort": "low", "calibration": pixels, "target": "xnnpack"},
        }.items():
            seeds.append(tflite.convert(model, tmp_path / f"{builder}_{name}.tflite", **settings))
    assert fuzz(seeds, 1000, tmp_path / "failed")["failures"] == 0


def nobody_writes_it(model, graph):
    graph.operators.pop()


def twice(model, graph):
    graph.operators.append(graph.operators[-1])


def too_early(model, graph):
    graph.operators.reverse()


def smaller_constant(model, graph):
    buffer = model.buffers[graph.tensors[graph.operators[0].inputs[1]].buffer]
    buffer.data = np.asarray(buffer.data)[:-4]


def no_such_tensor(model, graph):
    graph.operators[0].inputs = np.array([10_000, *graph.operators[0].inputs[1:]], np.int32)


def no_such_buffer(model, graph):
    graph.tensors[0].buffer = 1 << 20


def constant_answer(model, graph):
    graph.outputs = np.array([graph.operators[0].inputs[1]], np.int32)


def name_that_is_no_text(model, graph):
    graph.tensors[0].name = b"\xff\xfe"


def infinite_scale(model, graph):
    graph.tensors[graph.inputs[0]].quantization.scale = np.array([np.inf], np.float32)


@pytest.mark.parametrize(
    "damage",
    [
        nobody_writes_it, twice, too_early, smaller_constant, no_such_tensor, no_such_buffer, constant_answer,
        name_that_is_no_text, infinite_scale,
    ],
)  # fmt: skip
def test_tables_that_do_not_fit_together_are_refused_by_every_verb(changed, damage):
    path = changed(damage, "int8" if damage is infinite_scale else "float32")
    pixels = np.zeros((1, 32, 32, 3), np.uint8)
    for verb in (tflite.inspect, lambda path: tflite.evaluate(path, pixels), tflite.check_nnapi, tflite.benchmark):
        with pytest.raises(UserError, match=r"changed\.tflite is damaged") as refused:
            verb(path)
        assert "\n" not in str(refused.value)


def test_answers_that_are_no_numbers_are_refused(changed):
    def change(model, graph):
        weights = graph.tensors[graph.operators[-2].inputs[1]]
        size = int(np.prod(weights.shape))
        model.buffers[weights.buffer].data = np.full(size, np.nan, np.float32).view(np.uint8)

    with pytest.raises(UserError, match="answers 2 of 2 images with NaN"):
        tflite.evaluate(changed(change), np.zeros((2, 32, 32, 3), np.uint8))


def test_a_file_that_needs_too_much_memory_is_refused(tflite_files, tmp_path):
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((1, 8, 8, 3))])
    def huge(image):
        return tf.reduce_sum(tf.tile(image, (1, 20_000, 2_000, 1)), (1, 2))  # 31 GB in between

    path = tmp_path / "huge.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([huge.get_concrete_function()]).convert())
    with pytest.raises(UserError, match=r"huge\.tflite"):
        tflite.inspect(path)


class TestTheProcessThatTries:
    def test_tries_a_file_once_until_it_changes(self, tflite_files, tmp_path, monkeypatch):
        path = tmp_path / "model.tflite"
        path.write_bytes(tflite_files["float32"].read_bytes())
        questions, ask = [], sandbox._ask
        monkeypatch.setattr(sandbox, "_ask", lambda question: questions.append(question) or ask(question))
        for _ in range(3):
            interpreter.open_model(path)
        assert len(questions) == 1
        path.write_bytes(path.read_bytes()[:-400])
        with pytest.raises(UserError):
            interpreter.open_model(path)
        assert len(questions) == 2

    def test_is_started_again_when_it_has_ended(self, tflite_files, tmp_path):
        for name in ("first", "second"):
            path = tmp_path / f"{name}.tflite"
            path.write_bytes(tflite_files["int8"].read_bytes())
            sandbox.validate(path)
            sandbox._helper.kill()
            sandbox._helper.wait()

    def test_ends_with_the_process_that_asked(self, tflite_files):
        code = (
            "from keras_mobilenets.tflite.runtime import sandbox;"
            f"sandbox.validate({str(tflite_files['int8'])!r}); print(sandbox._helper.pid)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stderr == ""
        end = time.monotonic() + 10
        while Path(f"/proc/{int(done.stdout)}/cmdline").exists() and time.monotonic() < end:
            time.sleep(0.05)
        assert time.monotonic() < end

    def test_says_what_a_crash_and_a_loop_mean(self):
        assert "crashes the runtime" in sandbox._end(-signal.SIGSEGV)
        assert "within 60 s" in sandbox._end(-signal.SIGALRM)
