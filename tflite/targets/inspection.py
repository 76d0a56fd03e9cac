"""What is in a .tflite: operators, dtypes, float islands, delegation to XNNPACK, sizes, zeros, oldest runtime."""

import gzip
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from keras_mobilenets.plurals import count
from keras_mobilenets.tflite.graph import flatbuffer, signature
from keras_mobilenets.tflite.graph.file_identifier import check_file
from keras_mobilenets.tflite.graph.metadata import Metadata, metadata_of
from keras_mobilenets.tflite.graph.sparsity import Zeros, zeros
from keras_mobilenets.tflite.runtime.interpreter import open_model
from keras_mobilenets.tflite.runtime.model import InputShape, UnsupportedModelError
from keras_mobilenets.tflite.runtime.sandbox import validate
from keras_mobilenets.tflite.targets import float_islands
from keras_mobilenets.tflite.targets.float_islands import Operator, Tensor


@dataclass(frozen=True)
class Sizes:
    """How small a .tflite is.

    Attributes:
        size_bytes: Of the file.
        gzip_bytes: Of the file after gzip, as it travels in an app.
        sparsity: Share 0..1 of zeros among the weights of convolutions, depthwise and dense layers; None without any.
    """

    size_bytes: int
    gzip_bytes: int
    sparsity: float | None


@dataclass(frozen=True)
class Inspection:
    """What `inspect` found; `str()` of it is a page to read.

    Attributes:
        path: The file.
        operators: All operators, graph by graph, in the order of execution.
        inputs: The first graph's inputs.
        outputs: The first graph's outputs.
        size_bytes: Of the file.
        gzip_bytes: Of the file after gzip, as it travels in an app.
        sparsity: Share 0..1 of zeros among the weights of convolutions, depthwise and dense layers; None without any.
        minimum_runtime: The oldest TensorFlow Lite that runs every operator ("2.3.0"); empty when not recorded.
        nodes: Operators of the first graph that the runtime plans; None when it does not tell.
        nodes_delegated: How many of them are delegated to XNNPACK.
        partitions: How many partitions they form (1 is best).
        unsupported: Why the runtime here does not run the file, such as an operator it lacks; empty when it does.
        metadata: What its TFLite Metadata says; None where it has none.
    """

    path: Path
    operators: tuple[Operator, ...] = field(repr=False)
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    size_bytes: int
    gzip_bytes: int
    sparsity: float | None
    minimum_runtime: str
    nodes: int | None
    nodes_delegated: int | None
    partitions: int | None
    unsupported: str = ""
    metadata: Metadata | None = None

    @property
    def operator_counts(self) -> Counter[str]:
        """How often each operator occurs, by name."""
        return Counter(operator.name for operator in self.operators)

    @property
    def dtypes(self) -> Counter[str]:
        """How many tensors have each dtype; bias vectors of int8 layers are int32."""
        tensors = {t for operator in self.operators for t in (*operator.inputs, *operator.outputs)}
        return Counter(tensor.dtype for tensor in tensors)

    @property
    def delegation(self) -> str:
        """How much of the model is delegated to XNNPACK, in words."""
        if self.nodes is None:
            return self.unsupported.removeprefix(f"{self.path} ") or "the runtime does not tell"
        partitions = f" in {count(self.partitions, 'partition')}" if self.partitions else ""
        return f"{self.nodes_delegated} of {self.nodes} operators delegated{partitions}"

    @property
    def float_islands(self) -> tuple[tuple[Operator, ...], ...]:
        """Runs of operators that compute in float inside a model that has integer operators; empty in a pure model."""
        return float_islands.runs(self.operators)

    def __str__(self) -> str:
        operators = ", ".join(f"{name} ×{count}" for name, count in self.operator_counts.most_common())
        dtypes = ", ".join(f"{name} ×{count}" for name, count in self.dtypes.most_common())
        rows = {
            "file": f"{self.path}, {self.size_bytes / 1e6:.2f} MB, {self.gzip_bytes / 1e6:.2f} MB after gzip",
            "input": "; ".join(map(_describe, self.inputs)) or "none",
            "output": "; ".join(map(_describe, self.outputs)) or "none",
            "zeros": self._zeros(),
            "operators": f"{len(self.operators)}{self._in_graphs()}: {operators}",
            "tensors": dtypes,
            "float islands": float_islands.describe(self.operators),
            "XNNPACK": self.delegation,
            "metadata": str(self.metadata or "none"),
            "minimum runtime": f"TensorFlow Lite {self.minimum_runtime or 'not recorded'}",
        }
        return "\n".join(f"{name:16} {value}" for name, value in rows.items())

    def _in_graphs(self) -> str:
        graphs = len({operator.graph for operator in self.operators})
        return f" in {count(graphs, 'graph')}" if graphs > 1 else ""

    def _zeros(self) -> str:
        if self.sparsity is None:
            return "no weights"
        kinds = dict.fromkeys(operator.name for operator in self.operators if operator.zeros)
        by_kind = {
            kind: sum((op.zeros for op in self.operators if op.zeros and op.name == kind), Zeros(0, 0))
            for kind in kinds
        }
        parts = ", ".join(f"{kind} {count.share:.1%}" for kind, count in by_kind.items())
        return f"{self.sparsity:.1%} of the weights ({parts})"


def inspect(path: str | Path, input_shape: InputShape = None) -> Inspection:
    """Reads a .tflite and asks the runtime which of its operators are delegated to XNNPACK.

    Args:
        path: The .tflite file.
        input_shape: Sizes for inputs that leave them open, for the runtime: the whole shape, or those beyond the batch,
            such as (height, width), or one number for all.

    Raises:
        UserError: The file is missing, is no .tflite, or is damaged.
    """
    path = Path(path)
    nodes, delegated, partitions, unsupported = _delegation(path, input_shape)  # refuses damaged files
    content = path.read_bytes()
    model = flatbuffer.read(content, path)
    first, tensors = model.subgraphs[0], [_tensors(model, graph) for graph in model.subgraphs]
    counted = zeros(model)
    return Inspection(
        path,
        operators=tuple(
            Operator(
                index,
                flatbuffer.operator_name(model, operator),
                model.operatorCodes[operator.opcodeIndex].version,
                tuple(tensors[number][i] for i in operator.inputs if i >= 0),
                tuple(tensors[number][i] for i in operator.outputs if i >= 0),
                None if number else counted.get(index),
                number,
            )
            for number, graph in enumerate(model.subgraphs)
            for index, operator in enumerate(graph.operators)
        ),
        inputs=tuple(tensors[0][i] for i in first.inputs),
        outputs=tuple(tensors[0][i] for i in first.outputs),
        size_bytes=len(content),
        gzip_bytes=_gzip_bytes(content),
        sparsity=_share(counted),
        minimum_runtime=_minimum_runtime(model),
        nodes=nodes,
        nodes_delegated=delegated,
        partitions=partitions,
        unsupported=unsupported,
        metadata=metadata_of(content),
    )


def _delegation(path: Path, input_shape: InputShape) -> tuple[int | None, int | None, int | None, str]:
    """What the runtime tells of its operators, or why it runs none of this file, whose tables are sound."""
    try:
        return (*open_model(path, input_shape=input_shape).delegation(), "")
    except UnsupportedModelError as error:
        return None, None, None, str(error)


def sizes(path: str | Path) -> Sizes:
    """Reads how small a .tflite is, without opening it in the runtime.

    Args:
        path: The .tflite file.

    Raises:
        UserError: The file is missing, is no .tflite, or is damaged.
    """
    check_file(path)
    validate(path, run=False)
    content = Path(path).read_bytes()
    return Sizes(len(content), _gzip_bytes(content), _share(zeros(flatbuffer.read(content, path))))


def _gzip_bytes(content: bytes) -> int:
    return len(gzip.compress(content, 6))


def _share(counted: dict[int, Zeros]) -> float | None:
    return sum(counted.values(), Zeros(0, 0)).share if counted else None


def _tensors(model: Any, graph: Any) -> list[Tensor]:
    return [
        Tensor(
            flatbuffer.text(tensor.name),
            flatbuffer.type_name(tensor.type),
            flatbuffer.shape_of(tensor),
            flatbuffer.is_constant(model, tensor),
            *flatbuffer.scales(tensor),
        )
        for tensor in graph.tensors
    ]


def _minimum_runtime(model: Any) -> str:
    for entry in model.metadata or []:
        if entry.name == b"min_runtime_version":
            return (
                np.asarray(model.buffers[entry.buffer].data, np.uint8)
                .tobytes()
                .rstrip(b"\0")
                .decode("ascii", "replace")
            )
    return ""


def _describe(tensor: Tensor) -> str:
    scale = f", scale {tensor.scales[0]:.6g}, zero point {tensor.zero_point}" if tensor.scales else ""
    return signature.describe(tensor.name, tensor.dtype, tensor.shape) + scale
