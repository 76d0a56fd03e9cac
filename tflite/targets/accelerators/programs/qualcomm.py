"""Compiles a .tflite for a Qualcomm NPU, and runs on images what comes out, on the simulator of that NPU.

Arguments: `path`, `soc`. Values: `ended`, the compiler's return code; `report`, what it says of the operators;
`validator`, what its validator of operators says; `version`, LiteRT's; `microseconds`, simulated, of the one partition,
or None. There are outputs where the NPU runs the whole graph.

The compiled file has a DISPATCH_OP in the place of each partition, whose options say where behind the graph the binary
lies that the NPU runs. ONNX Runtime's provider runs such a binary as an EPContext node.
"""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import ai_edge_litert
import numpy as np
import onnx
import onnxruntime
import onnxruntime_qnn
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers
from onnx import TensorProto, helper

LITERT = Path(ai_edge_litert.__file__).parent
QNN = Path(onnxruntime_qnn.__file__).parent
PROVIDER = "QNNExecutionProvider"
ESTIMATED = {"SA8255": 52}  # the chip that the libraries simulate in time, by its number there
DTYPES = {
    getattr(schema.TensorType, name): getattr(TensorProto, onnx_name)
    for name, onnx_name in (("FLOAT32", "FLOAT"), ("UINT8", "UINT8"), ("INT8", "INT8"), ("INT16", "INT16"))
}


def compiled(path, soc, output):
    """Runs the compiler."""
    libraries = (QNN, QNN.with_name("onnxruntime_qnn.libs"), LITERT)
    command = [
        str(LITERT / "tools" / "apply_plugin_main"),
        "--cmd=apply",
        f"--model={path}",
        f"--o={output}",
        "--soc_manufacturer=Qualcomm",
        f"--soc_model={soc}",
        f"--libs={LITERT / 'vendors' / 'qualcomm' / 'compiler'}",
        "--qualcomm_log_level=error",
        *([f"--qualcomm_dlc_dir={output.parent}"] if soc in ESTIMATED else []),
    ]
    environment = {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries))}
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment)
    return {"ended": done.returncode, "report": done.stderr, "validator": done.stdout}


def microseconds(soc, folder):
    """What one inference of the one partition takes in simulation, where the libraries tell."""
    graphs = list(folder.glob("*.dlc"))
    if soc not in ESTIMATED or len(graphs) != 1:
        return None
    program = Path(__file__).with_name("qualcomm_estimate.py")
    command = [sys.executable, "-I", str(program), str(graphs[0]), str(ESTIMATED[soc])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, errors="replace")
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("microseconds ")]
    return int(lines[-1][1]) if lines and not done.returncode else None


def context(content, folder):
    """The NPU's binary in a compiled .tflite as an ONNX model; None where other operators are left beside it."""
    model = schema.Model.GetRootAs(content, 0)
    graph = model.Subgraphs(0)
    if model.SubgraphsLength() != 1 or graph.OperatorsLength() != 1 or not graph.Operators(0).CustomOptionsLength():
        return None
    dispatch = graph.Operators(0)
    place = flexbuffers.Loads(bytes(dispatch.CustomOptionsAsNumpy()))
    start, size = place["bytecode_offset"], place["bytecode_size"]
    (folder / "context.bin").write_bytes(content[start : start + size])

    def value(index):
        tensor = graph.Tensors(index)
        sizes = tensor.ShapeAsNumpy().tolist()
        return helper.make_tensor_value_info(tensor.Name().decode(), DTYPES[tensor.Type()], sizes)

    source, sink = value(dispatch.Inputs(0)), value(dispatch.Outputs(0))
    node = helper.make_node(
        "EPContext",
        [source.name],
        [sink.name],
        name=place["name"],
        partition_name=place["name"],
        domain="com.microsoft",
        source=PROVIDER,
        main_context=1,
        embed_mode=0,
        ep_cache_context="context.bin",
    )
    sets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    whole = helper.make_model(helper.make_graph([node], "npu", [source], [sink]), opset_imports=sets, ir_version=9)
    onnx.save(whole, folder / "context.onnx")
    return folder / "context.onnx"


def answers(path, images):
    """Raw outputs of the simulator, an image at a time."""
    onnxruntime.register_execution_provider_library(PROVIDER, onnxruntime_qnn.get_library_path())
    options = onnxruntime.SessionOptions()
    devices = [device for device in onnxruntime.get_ep_devices() if device.ep_name == PROVIDER]
    options.add_provider_for_devices(devices, {"backend_path": onnxruntime_qnn.get_qnn_htp_path()})
    session = onnxruntime.InferenceSession(path, options)
    source = session.get_inputs()[0].name
    for image in images:
        yield session.run(None, {source: image[None]})[0][0]


def main(folder):
    """Answers what `arguments.json` asks."""
    progress = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what native code prints is no progress
    asked = json.loads((folder / "arguments.json").read_text("utf-8"))
    values = compiled(asked["path"], asked["soc"], folder / "compiled.tflite")
    values["version"] = version("ai-edge-litert")
    is_run = (folder / "inputs.npy").exists()
    values["microseconds"] = None if is_run else microseconds(asked["soc"], folder)
    if is_run and not values["ended"]:
        onnx_file = context((folder / "compiled.tflite").read_bytes(), folder)
        if onnx_file:
            found = []
            for output in answers(onnx_file, np.load(folder / "inputs.npy", allow_pickle=False)):
                found.append(output)
                print(len(found), file=progress, flush=True)
            np.save(folder / "outputs.npy", np.stack(found), allow_pickle=False)
    (folder / "values.json").write_text(json.dumps(values), encoding="utf-8")


main(Path(sys.argv[1]))
