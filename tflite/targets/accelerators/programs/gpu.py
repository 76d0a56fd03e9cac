"""Compiles a .tflite for LiteRT's GPU delegate and runs it, on images where there are any.

Arguments: `path`. Values: `whole`, whether the delegate says that it took every operator, and `version`, LiteRT's.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.hardware_accelerator import HardwareAccelerator
from ai_edge_litert.interpreter import Interpreter

folder = Path(sys.argv[1])
path = json.loads((folder / "arguments.json").read_text("utf-8"))["path"]
model = CompiledModel.from_file(path, hardware_accel=HardwareAccelerator.GPU)
sources, sinks = model.create_input_buffers(0), model.create_output_buffers(0)
if (folder / "inputs.npy").exists():
    sink, found = Interpreter(path).get_output_details()[0], []
    for image in np.load(folder / "inputs.npy", allow_pickle=False):
        sources[0].write(np.ascontiguousarray(image[None]))
        model.run_by_index(0, sources, sinks)
        found.append(sinks[0].read(int(np.prod(sink["shape"])), sink["dtype"]).reshape(sink["shape"][1:]))
        print(len(found), flush=True)
    np.save(folder / "outputs.npy", np.stack(found), allow_pickle=False)
else:
    model.run_by_index(0, sources, sinks)
values = {"whole": model.is_fully_accelerated(), "version": version("ai-edge-litert")}
(folder / "values.json").write_text(json.dumps(values), encoding="utf-8")
