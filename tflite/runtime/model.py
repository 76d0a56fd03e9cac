"""One .tflite file in the LiteRT interpreter: refused in one line, run on what it takes."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.graph import signature
from keras_mobilenets.tflite.runtime.native_output import suppress_native_output

InputShape = int | Sequence[int] | None  # what open sizes of inputs become, see `open_model`


class UnsupportedModelError(UserError):
    """A sound file that this runtime does not run: an operator is missing, or an input's size is still open."""


def load(path: str | Path, threads: int = 1, input_shape: InputShape = None, *, delegate: bool = True) -> "Model":
    """As `open_model`, of a file known to be valid: a damaged one may crash this process.

    Raises:
        UserError: The runtime refuses it, or `input_shape` does not fit.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    resolver = OpResolverType.AUTO if delegate else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = None
    try:
        with suppress_native_output():  # the runtime announces each delegate on standard error
            interpreter = Interpreter(model_path=str(path), num_threads=threads, experimental_op_resolver_type=resolver)
            sources = interpreter.get_input_details()
            if input_shape is not None and not any(-1 in source["shape_signature"] for source in sources):
                taken = ", ".join(map(_described, sources))
                raise UserError(f"{path} leaves no size open, it takes {taken}; leave out input_shape {input_shape}")
            for source in sources:
                wanted = _filled(source, input_shape, path)
                if wanted != tuple(source["shape"]):
                    interpreter.resize_tensor_input(source["index"], wanted)
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        if isinstance(error, UserError):
            raise
        raise _refusal(path, interpreter, error, input_shape, "is damaged or not for this runtime") from error
    return Model(Path(path), interpreter, threads, input_shape)


@dataclass
class Model:
    """An open .tflite; `input` and `output` are for classifiers, which have one of each.

    Attributes:
        path: The file.
        interpreter: LiteRT's, its tensors allocated.
        threads: CPU threads.
        input_shape: What was given for open sizes of its inputs.
    """

    path: Path
    interpreter: Any
    threads: int
    input_shape: InputShape = None

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return self.path.stat().st_size

    @property
    def inputs(self) -> list[dict[str, Any]]:
        """The runtime's records of the inputs: name, shape, dtype, quantization (scale, zero point)."""
        return list(self.interpreter.get_input_details())

    @property
    def outputs(self) -> list[dict[str, Any]]:
        """The runtime's records of the outputs."""
        return list(self.interpreter.get_output_details())

    @property
    def input(self) -> dict[str, Any]:
        """The runtime's record of the one input."""
        return self._only(self.inputs)

    @property
    def output(self) -> dict[str, Any]:
        """The runtime's record of the one output."""
        return self._only(self.outputs)

    def feed(self, values: np.ndarray) -> None:
        """Sets the input; `values` already have its shape and dtype."""
        self.interpreter.set_tensor(self.input["index"], values)

    def feed_noise(self) -> None:
        """Sets every input to fixed noise of its type: floats −1..1, 8 and 16 bits in full range, other integers 0.

        Longer integers are positions, lengths or entries of a vocabulary, of which only 0 is known to exist.
        """
        rng = np.random.default_rng(0)
        for source in self.inputs:
            self.interpreter.set_tensor(source["index"], noise(rng, source["shape"], np.dtype(source["dtype"])))

    def invoke(self) -> None:
        """Runs on what the inputs hold.

        Raises:
            UserError: The runtime fails.
        """
        try:
            self.interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise _refusal(self.path, self.interpreter, error, self.input_shape, "failed while running") from error

    def invocation(self) -> Callable[[], object]:
        """What runs the model once on what the inputs hold; nothing else is in it, so that it can be timed."""
        return self.interpreter.invoke

    def run(self, values: np.ndarray) -> np.ndarray:
        """Runs one input of the model's own shape and dtype; returns the raw output."""
        self.feed(values)
        self.invoke()
        return self.interpreter.get_tensor(self.output["index"])

    def read_outputs(self) -> list[np.ndarray]:
        """The raw outputs of the last run."""
        return [self.interpreter.get_tensor(target["index"]) for target in self.outputs]

    def is_open(self) -> bool:
        """Whether the file leaves a size of any tensor to run time."""
        return any(-1 in tensor["shape_signature"] for tensor in self.interpreter.get_tensor_details())

    def shapes(self) -> list[tuple[int, ...]]:
        """The sizes that all tensors have when the model runs, which the file does not always tell."""
        plain = load(self.path, self.threads, self.input_shape, delegate=False)  # delegates hide what they hold
        plain.feed_noise()
        plain.invoke()
        return [tuple(map(int, tensor["shape"])) for tensor in plain.interpreter.get_tensor_details()]

    def dequantize(self, raw: np.ndarray) -> np.ndarray:
        """Raw outputs as float32: (q − zero point) · scale for an integer output, otherwise a plain cast."""
        return dequantized(raw, *self.output["quantization"])

    def quantization(self) -> str:
        """How the file is quantized, in the words of `convert`: none, float16, dynamic, int8 or int16x8."""
        if any(np.dtype(source["dtype"]) == np.int16 and source["quantization"][0] for source in self.inputs):
            return "int16x8"
        ends = (*self.inputs, *self.outputs)  # the input of a recommender are numbers without a scale
        if any(np.dtype(end["dtype"]).kind in "iu" and end["quantization"][0] for end in ends):
            return "int8"
        dtypes = {np.dtype(tensor["dtype"]) for tensor in self.interpreter.get_tensor_details()}
        if np.dtype(np.int8) in dtypes:
            inside = any(op["op_name"] == "QUANTIZE" for op in self._operators())
            return "int8" if inside else "dynamic"  # int8 behind float ends, or int8 weights only
        return "float16" if np.dtype(np.float16) in dtypes else "none"

    @property
    def backend(self) -> str:
        """What runs it, as results.json names it."""
        return "xnnpack" if self.delegation()[2] else "cpu"

    def delegation(self) -> tuple[int, int, int] | tuple[None, None, None]:
        """Counts the operators, those that are delegated, and the partitions.

        The interpreter keeps the original operators and appends one DELEGATE per partition. It does not say which
        operators a partition holds, so they are found by walking from its outputs back to its inputs.
        """
        partitions, operators, delegated = self._partitions()
        return (len(operators), len(delegated), len(partitions)) if operators else (None, None, None)

    def delegated_operators(self) -> set[int]:
        """The places, in the order of execution, of the operators that are delegated."""
        return self._partitions()[2]

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

    def _only(self, details: list[dict[str, Any]]) -> dict[str, Any]:
        if len(details) != 1:
            from keras_mobilenets.tflite.graph import flatbuffer

            ends = flatbuffer.ends(flatbuffer.read(self.path.read_bytes(), self.path))
            raise UserError(f"{self.path} has {ends}; a classifier has one of each")
        return details[0]


def _filled(source: Mapping[str, Any], input_shape: InputShape, path: str | Path) -> tuple[int, ...]:
    """An input's shape with sizes in the place of those that it leaves open."""
    shape, places = tuple(map(int, source["shape"])), signature.open_places(source["shape_signature"])
    if input_shape is None or -1 not in source["shape_signature"]:
        return shape
    given = [input_shape] * len(places) if isinstance(input_shape, int) else [int(size) for size in input_shape]
    whole = len(given) == len(shape) and len(places) < len(shape)
    filled = list(given if whole else shape)
    if not whole and len(given) == len(places):
        for place, size in zip(places, given, strict=True):
            filled[place] = size
    fits = all(asked in (-1, size) for asked, size in zip(source["shape_signature"], filled, strict=True))
    if not fits or min(given, default=1) < 1 or (not whole and len(given) != len(places)):
        taken = _described(source)
        raise UserError(f"{path} takes {taken}, and input_shape is {input_shape}: give it whole or what is open")
    return tuple(filled)


def _refusal(path: str | Path, interpreter: Any, error: Exception, input_shape: InputShape, what: str) -> UserError:
    """The error for a file that the runtime does not run: for which reason, and what to do."""
    reason = one_line(error)
    for pattern in _MISSING_OPERATOR:
        if found := re.search(pattern, reason):
            operator = " of version ".join(found.groups())
            return UnsupportedModelError(
                f"{path} needs the operator {operator}, which this runtime lacks; run it where its maker says"
            )
    sources = interpreter.get_input_details() if interpreter is not None else []
    if any(signature.open_places(source["shape_signature"]) for source in sources):
        given = "sizes of 1" if input_shape is None else f"input_shape {input_shape}"
        return UnsupportedModelError(
            f"{path} does not run with {given} ({reason}); give others for {', '.join(map(_described, sources))} with "
            "--size, in Python input_shape"
        )
    return UserError(f"{path} {what}: {reason}; convert it again")


# As the runtime names an operator that it has no code for.
_MISSING_OPERATOR = (
    r"unresolved custom op: (.+?)\. See",
    r"Select TensorFlow op.*Node number \d+ \((\w+)\)",
    r"Didn't find op for builtin opcode '(\w+)' version '(\d+)'",
    r"Op builtin_code out of range: (\d+)",
)


def _described(details: Mapping[str, Any]) -> str:
    return signature.describe(details["name"], np.dtype(details["dtype"]).name, details["shape_signature"])


def noise(rng: np.random.Generator, shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
    """Floats −1..1, integers of 8 and 16 bits in full range, other integers 0."""
    if dtype.kind == "f":
        return rng.uniform(-1, 1, shape).astype(dtype)
    if dtype.kind in "iu" and dtype.itemsize <= 2:
        limits = np.iinfo(dtype)
        return rng.integers(limits.min, limits.max + 1, shape).astype(dtype)
    return np.zeros(shape, dtype)


def dequantized(values: np.ndarray, scale: float, zero_point: int) -> np.ndarray:
    """Stored values as float32; scale 0 means that they are no integers."""
    if not scale:
        return values.astype(np.float32)
    return (values.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)


def one_line(error: object) -> str:
    """An error of the runtime in one line."""
    return " ".join(str(error).split()).rstrip(".") or "no reason given"
