"""How far what a .tflite says is from what another says."""

import math
from collections.abc import Sequence

import numpy as np

from keras_mobilenets.tflite.graph import flatbuffer


def without_softmax(content: bytes) -> bytes:
    """Without it, or the sigmoid of one score, the output tells apart what a sure answer hides."""
    model = flatbuffer.read(content)
    graph = model.subgraphs[0]
    last = flatbuffer.operator_name(model, graph.operators[-1])
    is_binary = last == "LOGISTIC" and flatbuffer.shape_of(graph.tensors[graph.outputs[0]])[1:] == (1,)
    if not (last == "SOFTMAX" or is_binary) or len(graph.outputs) > 1:
        return content
    graph.outputs = graph.operators.pop().inputs[:1]
    model.signatureDefs = None  # it names the output
    return flatbuffer.write(model)


def sqnr_db(expected: Sequence[np.ndarray], found: Sequence[np.ndarray]) -> float:
    """Power of the float outputs over that of the differences, in decibels; of several outputs the least."""
    return min(_of_one(x, y) for x, y in zip(expected, found, strict=True))


def _of_one(expected: np.ndarray, found: np.ndarray) -> float:
    signal, noise = float((expected**2).sum()), float(((found - expected) ** 2).sum())
    if not noise:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf


def answer(given: Sequence[np.ndarray]) -> np.ndarray:
    """The class of each sample, by the first output."""
    return logits(given).argmax(axis=1)


def logits(given: Sequence[np.ndarray]) -> np.ndarray:
    """The first output; one score for two classes is that of the second, over 0."""
    first = given[0]
    return np.concatenate([np.zeros_like(first), first], axis=1) if first.shape[1:] == (1,) else first
