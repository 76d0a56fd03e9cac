"""Runs a .tflite on images with TensorFlow Lite's reference kernels, which are written for clarity.

Arguments: `path`. Values: none.
"""

import json
import sys
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

folder = Path(sys.argv[1])
path = json.loads((folder / "arguments.json").read_text("utf-8"))["path"]
model = Interpreter(path, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
model.allocate_tensors()
source, sink = model.get_input_details()[0]["index"], model.get_output_details()[0]["index"]
found = []
for image in np.load(folder / "inputs.npy", allow_pickle=False):
    model.set_tensor(source, image[None])
    model.invoke()
    found.append(model.get_tensor(sink)[0])
    print(len(found), flush=True)
np.save(folder / "outputs.npy", np.stack(found), allow_pickle=False)
(folder / "values.json").write_text("{}", encoding="utf-8")
