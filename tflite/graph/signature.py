"""What the inputs and outputs of a .tflite are called: its tensors' names and its signature, which runs it by name."""

from collections.abc import Sequence
from typing import Any

from ai_edge_litert import schema_py_generated as schema

KEY = "serving_default"  # what TensorFlow calls a model's one signature


def name_ends(model: Any, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Names the inputs and outputs of a `ModelT` and writes the signature that lists them.

    Args:
        model: A model of one graph.
        inputs: A name for each of its inputs.
        outputs: A name for each of its outputs.
    """
    graph = model.subgraphs[0]
    for names, tensors in ((inputs, graph.inputs), (outputs, graph.outputs)):
        for name, tensor in zip(names, tensors, strict=True):
            graph.tensors[tensor].name = name.encode()
    entry = schema.SignatureDefT()
    entry.inputs, entry.outputs = _entries(inputs, graph.inputs), _entries(outputs, graph.outputs)
    entry.signatureKey, entry.subgraphIndex = KEY.encode(), 0
    model.signatureDefs = [entry]


def _entries(names: Sequence[str], tensors: Sequence[int]) -> list[Any]:
    entries = []
    for name, tensor in zip(names, tensors, strict=True):
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name.encode(), int(tensor)
        entries.append(entry)
    return entries
