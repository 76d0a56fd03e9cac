"""Runs a .tflite with TensorFlow Lite Micro: on images where there are any, else once on zeros.

Arguments: `path` and `arena`, the bytes it may use; or `trials`, several such files that are run on zeros, each in a
fork, since what they hold may abort the process. Values: `version`, TensorFlow Lite Micro's; of trials `ends`, for each
the status it ended with (negative: a signal) and what it wrote to standard error.
"""

import json
import os
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
from tflite_micro import runtime


def run(path: str, arena: int, images: np.ndarray | None = None) -> list[np.ndarray]:
    """Raw outputs for images; writes the use of the arena to standard error."""
    model = runtime.Interpreter.from_file(path, arena_size=arena)
    graph = runtime.schema_fb.Model.GetRootAsModel(Path(path).read_bytes(), 0).Subgraphs(0)
    for number in range(graph.InputsLength()):
        details = model.get_input_details(number)
        model.set_input(np.zeros(details["shape"], details["dtype"]), number)
    found = []
    for image in [None] if images is None else images:
        if image is not None:
            model.set_input(image[None], 0)
        model.invoke()
        found.append(model.get_output(0)[0])
        print(len(found), flush=True)
    model.print_allocations()
    return found


def attempt(path: str, arena: int, log: Path) -> tuple[int, str]:
    """How a run ends in a fork: its status, and what it wrote to standard error."""
    child = os.fork()
    if child == 0:
        with open(log, "wb") as errors:
            os.dup2(errors.fileno(), 2)
        try:
            run(path, arena)
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status, log.read_text("utf-8", "replace")


folder = Path(sys.argv[1])
arguments = json.loads((folder / "arguments.json").read_text("utf-8"))
values: dict[str, object] = {"version": version("tflite-micro")}
if "trials" in arguments:
    ends = []
    for path in arguments["trials"]:
        ends.append(attempt(path, arguments["arena"], folder / "trial"))
        print(len(ends), flush=True)
    values["ends"] = ends
else:
    inputs = folder / "inputs.npy"
    outputs = run(arguments["path"], arguments["arena"], np.load(inputs) if inputs.exists() else None)
    np.save(folder / "outputs.npy", np.stack(outputs), allow_pickle=False)
(folder / "values.json").write_text(json.dumps(values), encoding="utf-8")
