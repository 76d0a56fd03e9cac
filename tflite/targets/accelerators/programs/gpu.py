"""Compiles a .tflite for LiteRT's GPU delegate and runs it, on images where there are any.

Arguments: `path`. Values: `version`, LiteRT's. What the delegate leaves to the CPU, and shaders that do not compile, it
says on standard error; `is_fully_accelerated()` is true of both.
"""

import json
import os
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.hardware_accelerator import HardwareAccelerator

folder = Path(sys.argv[1])
path = json.loads((folder / "arguments.json").read_text("utf-8"))["path"]
model = CompiledModel.from_file(path, hardware_accel=HardwareAccelerator.GPU | HardwareAccelerator.CPU)
sources, sinks = model.create_input_buffers(0), model.create_output_buffers(0)
signature, names = next(iter(model.get_signature_list().items()))
details = model.get_output_tensor_details(signature)
tensors = [
    (sink, details[name]["shape"], details[name]["dtype"]) for sink, name in zip(sinks, names["outputs"], strict=True)
]


def run():
    """The outputs; reading them waits for the GPU."""
    model.run_by_index(0, sources, sinks)
    return [sink.read(int(np.prod(shape)), np.dtype(dtype)).reshape(shape) for sink, shape, dtype in tensors]


if (folder / "inputs.npy").exists():
    found = []
    for image in np.load(folder / "inputs.npy", allow_pickle=False):
        sources[0].write(np.ascontiguousarray(image[None]))
        found.append(run()[0][0])
        print(len(found), flush=True)
    np.save(folder / "outputs.npy", np.stack(found), allow_pickle=False)
else:
    run()
(folder / "values.json").write_text(json.dumps({"version": version("ai-edge-litert")}), encoding="utf-8")
os._exit(0)  # taking the WebGPU environment down crashes now and then
