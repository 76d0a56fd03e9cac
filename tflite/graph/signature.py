"""The inputs and outputs of a .tflite: their names, the signature that runs it by them, and their open sizes (−1)."""

from collections.abc import Iterable, Sequence
from typing import Any

KEY = "serving_default"  # what TensorFlow calls a model's one signature


def name_ends(model: Any, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Names the inputs and outputs of a `ModelT` and writes the signature that lists them.

    Args:
        model: A model of one graph.
        inputs: A name for each of its inputs.
        outputs: A name for each of its outputs.
    """
    from ai_edge_litert import schema_py_generated as schema  # what only describes inputs loads no runtime

    graph = model.subgraphs[0]
    for names, tensors in ((inputs, graph.inputs), (outputs, graph.outputs)):
        for name, tensor in zip(names, tensors, strict=True):
            graph.tensors[tensor].name = name.encode()
    entry = schema.SignatureDefT()
    entry.inputs, entry.outputs = _entries(inputs, graph.inputs), _entries(outputs, graph.outputs)
    entry.signatureKey, entry.subgraphIndex = KEY.encode(), 0
    model.signatureDefs = [entry]


def _entries(names: Sequence[str], tensors: Sequence[int]) -> list[Any]:
    from ai_edge_litert import schema_py_generated as schema

    entries = []
    for name, tensor in zip(names, tensors, strict=True):
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name.encode(), int(tensor)
        entries.append(entry)
    return entries


def describe(name: str, dtype: str, sizes: Iterable[int]) -> str:
    """A tensor in words: "image float32 1×?×?×3", where −1 is a size that only running the model tells."""
    return f"{name} {dtype} {'×'.join('?' if size == -1 else str(size) for size in sizes)}".strip()


def open_places(signature: Iterable[int]) -> list[int]:
    """The dimensions of an input that a file leaves open, beyond the batch, which is 1."""
    sizes = list(map(int, signature))
    return [place for place, size in enumerate(sizes) if size == -1 and (place or len(sizes) == 1)]
