"""Answers of .tflite files by whatever runtime this Python has; needs nothing of the package.

    python answer.py FOLDER

FOLDER holds NAME.tflite and NAME.npy, its inputs. Writes answers.npz: for "NAME reference" and "NAME xnnpack" the raw
outputs, and for "NAME delegates" how many partitions are delegated.
"""

import sys
from pathlib import Path

import numpy as np

try:
    from tflite_runtime.interpreter import Interpreter, OpResolverType
except ImportError:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType


def answers(path, inputs, kernels):
    interpreter = Interpreter(str(path), num_threads=1, experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    outputs = []
    for value in inputs:
        interpreter.set_tensor(source["index"], value)
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(target["index"])[0])
    return np.stack(outputs), sum(op["op_name"] == "DELEGATE" for op in interpreter._get_ops_details())


def main(folder):
    found = {}
    for path in sorted(folder.glob("*.tflite")):
        inputs = np.load(path.with_suffix(".npy"))
        found[f"{path.stem} reference"], _ = answers(path, inputs, OpResolverType.BUILTIN_REF)
        found[f"{path.stem} xnnpack"], found[f"{path.stem} delegates"] = answers(path, inputs, OpResolverType.AUTO)
    np.savez(folder / "answers.npz", **found)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
