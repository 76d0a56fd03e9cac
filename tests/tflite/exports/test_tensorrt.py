"""Folders for TensorRT: in ONNX Runtime, their scales beside its calibration, and in TensorRT-RTX without a GPU."""

import contextlib
import io
import os
import struct
import subprocess
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from networks import answers

from keras_mobilenets import tflite
from keras_mobilenets.cli import main
from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.exports import calibration_cache, engine
from keras_mobilenets.tflite.graph import flatbuffer

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")
pytest.importorskip("tf2onnx", reason="needs the extra onnx")


def run(graph, values):
    """What a float input in NCHW is answered with."""
    session = onnxruntime.InferenceSession(graph if isinstance(graph, bytes) else str(graph))
    (end,) = session.get_inputs()
    assert end.type == session.get_outputs()[0].type == "tensor(float)"
    return np.concatenate([session.run(None, {end.name: value[None]})[0] for value in values])


def channels_first(pixels):
    return (pixels / 127.5 - 1).astype(np.float32).transpose(0, 3, 1, 2)


def sqnr(found, expected):
    return 10 * np.log10((expected**2).sum() / ((found - expected) ** 2).sum())


def test_int8_has_symmetric_scales_and_the_same_answers(files, pixels, tmp_path):
    source = files["nnapi", "int8"]

    folder = tflite.export(source, tmp_path / "m.tensorrt", format="tensorrt", layout="nchw", precision="int8")

    assert sorted(path.name for path in folder.iterdir()) == ["build.sh", "model.onnx"]
    assert "trtexec --onnx=model.onnx --saveEngine=model.engine --stronglyTyped" in (folder / "build.sh").read_text()
    graph = onnx.load(folder / "model.onnx").graph
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    quantized = [node for node in graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert quantized and not any(constants[node.input[2]].any() for node in quantized)  # of h-swish's constants too
    expected = tflite.evaluate(source, pixels).predictions
    assert sqnr(run(folder / "model.onnx", channels_first(pixels)), expected) > 15
    assert sqnr(tflite.evaluate(folder / "model.onnx", pixels).predictions, expected) > 15


def test_fp16_stands_in_the_graph(files, pixels, tmp_path):
    folder = tflite.export(
        files["nnapi", "none"], tmp_path / "m.tensorrt", format="tensorrt", layout="nchw", batch=None
    )

    graph = onnx.load(folder / "model.onnx").graph
    assert {tensor.data_type for tensor in graph.initializer} <= {onnx.TensorProto.FLOAT16, onnx.TensorProto.INT64}
    assert "--minShapes=image:1x3x32x32 --optShapes=image:8x3x32x32" in (folder / "build.sh").read_text()
    found = run(folder / "model.onnx", channels_first(pixels))
    assert 50 < sqnr(found, answers(files["keras"], pixels / 127.5 - 1)) < 90  # float16 has 11 bits


def test_the_script_passes_any_name_to_trtexec(files, tmp_path):
    """Names as TensorFlow's converter gives them, and what a stranger may have put into a file."""
    name = 'x:0; touch "$(echo oops)"'
    model = flatbuffer.read(files["nnapi", "none"].read_bytes())
    model.subgraphs[0].tensors[model.subgraphs[0].inputs[0]].name = name.encode()
    model.signatureDefs = None
    source, trtexec = tmp_path / "m.tflite", tmp_path / "trtexec"
    source.write_bytes(flatbuffer.write(model))
    trtexec.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    trtexec.chmod(0o755)

    folder = tflite.export(source, format="tensorrt", batch=None)

    path = f"{tmp_path}:{os.environ['PATH']}"
    said = subprocess.run([folder / "build.sh"], env={"PATH": path}, capture_output=True, text=True, check=True).stdout
    assert f"--minShapes='{name}':1x32x32x3" in said.splitlines()
    assert not list(tmp_path.rglob("oops"))


def test_values_beyond_float16_are_refused(tmp_path):
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(1e6 * inputs)))
    source = tflite.convert(model, tmp_path / "m.tflite", quantize="none")

    with pytest.raises(UserError, match=r"in float16 .*m\.tflite answers differently: by .*; export the int8 file"):
        tflite.export(source, format="tensorrt")

    assert [path.name for path in tmp_path.iterdir()] == ["m.tflite"]


def test_a_float_file_is_calibrated_by_entropy(files, pixels, tmp_path):
    """The cache is read anew, its scales put around every activation: int8 as TensorRT makes it of the same graph."""
    how = {"format": "tensorrt", "layout": "nchw", "precision": "int8", "calibration": pixels}

    folder = tflite.export(files["nnapi", "none"], tmp_path / "m.tensorrt", **how)

    assert "--int8 --fp16 --calib=calibration.cache" in (folder / "build.sh").read_text()
    header, *lines = (folder / "calibration.cache").read_text().splitlines()
    assert header.startswith("TRT-") and header.endswith("-EntropyCalibration2")
    scales = {name: struct.unpack(">f", bytes.fromhex(code))[0] for name, code in (s.rsplit(": ", 1) for s in lines)}
    assert scales["image"] == pytest.approx(1 / 127, rel=1e-3)
    model = onnx.load(folder / "model.onnx")
    made = {name for node in model.graph.node for name in node.output}
    assert made <= set(scales)
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            if name in scales:
                node.input[place] = f"{name}__int8"
    zero = onnx.numpy_helper.from_array(np.int8(0), "zero")
    model.graph.initializer.append(zero)
    around = []
    for name, scale in scales.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(scale), f"{name}__scale"))
        ends = f"{name}__scale", "zero"
        around.append(onnx.helper.make_node("QuantizeLinear", [name, *ends], [f"{name}__levels"]))
        around.append(onnx.helper.make_node("DequantizeLinear", [f"{name}__levels", *ends], [f"{name}__int8"]))
    nodes = [*model.graph.node]
    del model.graph.node[:]
    waiting = {node.input[0]: [node, after] for node, after in zip(around[::2], around[1::2], strict=True)}
    model.graph.node.extend(waiting["image"])
    for node in nodes:
        model.graph.node.extend([node, *(each for name in node.output for each in waiting[name])])
    found = run(model.SerializeToString(), channels_first(pixels))
    assert sqnr(found, answers(files["keras"], pixels / 127.5 - 1)) > 15


def test_both_precisions_of_a_float_file_have_a_folder_each_and_no_other_folder_is_replaced(files, pixels, tmp_path):
    source = files["nnapi", "none"]
    how = {"format": "tensorrt", "folder": tmp_path}

    made = [tflite.export(source, **how), tflite.export(source, precision="int8", calibration=pixels[:2], **how)]
    made.append(tflite.export(source, **how))  # takes the place of the first

    assert [path.name for path in made] == ["nnapi_none_fp16.tensorrt", "nnapi_none_int8.tensorrt", made[0].name]
    assert (made[1] / "calibration.cache").exists()
    (made[0] / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"notes\.txt is not of a folder for TensorRT"):
        tflite.export(source, **how)
    assert (made[0] / "notes.txt").read_text() == "mine"


def test_what_is_rare_and_far_out_is_cut_off_as_onnxruntime_does():
    from onnxruntime.quantization.calibrate import HistogramCollector

    values = np.append(np.random.default_rng(0).laplace(size=200_000), [60]).astype(np.float32)
    counts, _ = np.histogram(np.abs(values), calibration_cache.BINS, (0, 60))

    found = 60 * calibration_cache.threshold(counts)

    collector = HistogramCollector("entropy", True, 2049, 128, 0, "same")
    with contextlib.redirect_stdout(io.StringIO()):
        collector.collect({"values": values})
        theirs = collector.compute_collection_result()["values"][1]
    assert found == pytest.approx(theirs, rel=0.2)


@pytest.mark.parametrize("form", [("nnapi", "none"), ("nnapi", "int8"), ("xnnpack", "int8"), ("litert", "int8")])
def test_tensorrt_rtx_builds_an_engine(form, files, tmp_path):
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx-cu12 is not installed")
    folder = tflite.export(files[form], tmp_path / "m.tensorrt", format="tensorrt", batch=None)

    made = tflite.build_engine(folder, "tensorrt_rtx")

    assert made == folder / "model_rtx.engine" and made.stat().st_size > 10_000
    (folder / "calibration.cache").write_text(calibration_cache.text({"image": 1 / 127}))
    with pytest.raises(UserError, match="takes no calibration cache: export the int8"):
        tflite.build_engine(folder, "tensorrt_rtx")
    (folder / "calibration.cache").unlink()
    model = onnx.load(folder / "model.onnx")
    model.graph.node[-1].op_type = "Multinomial"
    onnx.save(model, folder / "model.onnx")
    with pytest.raises(UserError, match=r"tensorrt_rtx refuses an operator of .*model\.onnx, Multinomial"):
        tflite.build_engine(folder, "tensorrt_rtx")


def test_the_calibrator_gives_tensorrt_the_cache_and_no_images(tmp_path):
    """TensorRT 10 itself needs a GPU; of it only the class stands here that its calibrators are made of."""
    trt = SimpleNamespace(IInt8EntropyCalibrator2=type("IInt8EntropyCalibrator2", (), {}))
    cache = tmp_path / "calibration.cache"
    cache.write_text(calibration_cache.text({"image": 1.0}))

    calibrator = engine.entropy_calibrator(trt, cache)

    assert isinstance(calibrator, trt.IInt8EntropyCalibrator2)
    assert calibrator.read_calibration_cache() == b"TRT-101600-EntropyCalibration2\nimage: 3f800000\n"
    assert calibrator.get_batch_size() == 1 and calibrator.get_batch(["image"]) is None


@pytest.mark.parametrize(
    ("kind", "options", "says"),
    [
        ("none", ["--precision", "int8"], "is float32: give images to calibrate on, or export the int8 file"),
        ("int8", ["--precision", "fp16"], "is int8: an fp16 engine is made of the float32 file"),
        (
            "none",
            ["--precision", "int8", "--calibration", "{tmp}/none"],
            "none does not exist; give a folder of images",
        ),
        ("int8", ["--out", "/proc/none"], "cannot write /proc/none"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(kind, options, says, files, tmp_path, capsys):
    given = [option.format(tmp=tmp_path) for option in options]
    where = [] if "--out" in options else ["--out", str(tmp_path / "out")]

    assert main(["export", str(files["nnapi", kind]), "--format", "tensorrt", *given, *where]) == 2

    error = capsys.readouterr().err
    assert says in error and len(error.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_without_the_library_the_folder_is_there_and_a_line_says_what_is_missing(files, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(engine, "ENGINES", {"no_such_library": "model.engine"})

    assert main(["export", str(files["nnapi", "int8"]), "--format", "tensorrt", "--out", str(tmp_path)]) == 0

    said = capsys.readouterr()
    folder = tmp_path / "nnapi_int8.tensorrt"
    assert said.out.split() == [str(folder)] and (folder / "model.onnx").exists()
    assert said.err == f"no engine was built: tensorrt is not installed; run {folder}/build.sh where it is\n"
