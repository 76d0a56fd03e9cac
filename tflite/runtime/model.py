"""One .tflite file in the LiteRT interpreter: refused in one line, run on one image at a time."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.runtime.native_output import suppress_native_output


def load(path: str | Path, threads: int = 1) -> "Model":
    """As `open_model`, of a file known to be valid: a damaged one may crash this process."""
    from ai_edge_litert.interpreter import Interpreter

    try:
        with suppress_native_output():  # the runtime announces each delegate on standard error
            interpreter = Interpreter(model_path=str(path), num_threads=threads)
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise UserError(f"{path} is damaged or not for this runtime: {one_line(error)}; convert it again") from error
    return Model(Path(path), interpreter, threads)


@dataclass
class Model:
    """An open .tflite with one image input and one output."""

    path: Path
    interpreter: Any
    threads: int

    @property
    def input(self) -> dict[str, Any]:
        """The runtime's record of the one input: name, shape, dtype, quantization (scale, zero point)."""
        return self._only(self.interpreter.get_input_details(), "input")

    @property
    def output(self) -> dict[str, Any]:
        """The runtime's record of the one output."""
        return self._only(self.interpreter.get_output_details(), "output")

    def feed(self, values: np.ndarray) -> None:
        """Sets the input; `values` already have its shape and dtype."""
        self.interpreter.set_tensor(self.input["index"], values)

    def run(self, values: np.ndarray) -> np.ndarray:
        """Runs one input of the model's own shape and dtype; returns the raw output."""
        self.feed(values)
        try:
            self.interpreter.invoke()
        except RuntimeError as error:
            raise UserError(f"{self.path} failed while running: {one_line(error)}; convert it again") from error
        return self.interpreter.get_tensor(self.output["index"])

    def run_blank(self) -> None:
        """Runs once on zeros, however many inputs there are."""
        try:
            for source in self.interpreter.get_input_details():
                self.interpreter.set_tensor(source["index"], np.zeros(source["shape"], source["dtype"]))
            self.interpreter.invoke()
            for target in self.interpreter.get_output_details():
                self.interpreter.get_tensor(target["index"])
        except (ValueError, RuntimeError) as error:
            raise UserError(f"{self.path} failed while running: {one_line(error)}; convert it again") from error

    def dequantize(self, raw: np.ndarray) -> np.ndarray:
        """Raw outputs as float32: (q − zero point) · scale for an integer output, otherwise a plain cast."""
        return dequantized(raw, *self.output["quantization"])

    def quantization(self) -> str:
        """How the file is quantized, in the words of `convert`: none, float16, dynamic or int8."""
        if np.dtype(self.input["dtype"]).kind in "iu":
            return "int8"
        dtypes = {np.dtype(tensor["dtype"]) for tensor in self.interpreter.get_tensor_details()}
        if np.dtype(np.int8) in dtypes:
            inside = any(op["op_name"] == "QUANTIZE" for op in self._operators())
            return "int8" if inside else "dynamic"  # int8 behind float ends, or int8 weights only
        return "float16" if np.dtype(np.float16) in dtypes else "none"

    def delegation(self) -> tuple[int, int, int] | tuple[None, None, None]:
        """Counts the operators, those that are delegated, and the partitions.

        The interpreter keeps the original operators and appends one DELEGATE per partition. It does not say which
        operators a partition holds, so they are found by walking from its outputs back to its inputs.
        """
        partitions, operators, delegated = self._partitions()
        return (len(operators), len(delegated), len(partitions)) if operators else (None, None, None)

    def cpu_operators(self) -> list[str]:
        """The names of the operators that are not delegated, in their order; none where the runtime does not tell."""
        _, operators, delegated = self._partitions()
        return [operator["op_name"] for i, operator in enumerate(operators) if i not in delegated]

    def _partitions(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]], set[int]]:
        """The delegate's partitions, the operators, and which of these the partitions hold."""
        plan = self._operators()
        partitions = [op for op in plan if op["op_name"] == "DELEGATE"]
        operators = [op for op in plan if op["op_name"] != "DELEGATE"]
        producer = {int(tensor): i for i, op in enumerate(operators) for tensor in op["outputs"]}
        delegated: set[int] = set()
        for partition in partitions:
            stop = {int(tensor) for tensor in partition["inputs"]}
            todo = [int(tensor) for tensor in partition["outputs"]]
            while todo:
                tensor = todo.pop()
                node = producer.get(tensor)
                if tensor in stop or node is None or node in delegated:
                    continue
                delegated.add(node)
                todo += [int(source) for source in operators[node]["inputs"]]
        return partitions, operators, delegated

    def _operators(self) -> list[dict[str, Any]]:
        # The only view of the operators that the runtime has; not public, so its absence is no failure.
        details = getattr(self.interpreter, "_get_ops_details", None)
        return details() if details else []

    def _only(self, details: list[dict[str, Any]], kind: str) -> dict[str, Any]:
        if len(details) != 1:
            raise UserError(f"{self.path} has {len(details)} {kind}s; a classifier with one {kind} is needed")
        return details[0]


def dequantized(values: np.ndarray, scale: float, zero_point: int) -> np.ndarray:
    """Stored values as float32; scale 0 means that they are no integers."""
    if not scale:
        return values.astype(np.float32)
    return (values.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)


def one_line(error: object) -> str:
    """An error of the runtime in one line."""
    return " ".join(str(error).split()).rstrip(".") or "no reason given"
