"""A calibration cache for TensorRT: of each tensor a symmetric int8 scale, by entropy, computed without TensorRT.

TensorRT up to release 10 quantizes a float graph by such a file (implicit quantization) and then asks for no images.
The algorithm is TensorRT's (Migacz, "8-bit Inference with TensorRT", GTC 2017): of all places where a tensor's values
can be cut off, the one after which the histogram in 128 levels is closest to the histogram itself.
"""

import struct
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from keras_mobilenets.progress import track

HEADER = "TRT-101600-EntropyCalibration2"  # a release and the algorithm
BINS, LEVELS, STEP = 2048, 128, 8  # of a histogram of magnitudes; of int8; bins between two places that are tried


def calibration_cache(model: Any, values: np.ndarray) -> str:
    """The cache of a float ONNX model.

    Args:
        model: The model, of one input.
        values: What its input takes, N×… float32 in its own layout; each is run twice.

    Returns:
        A header and a line for each tensor: its name, and its scale as hexadecimal of a big-endian float32.
    """
    largest: dict[str, float] = {}
    for name, tensor in _activations(model, values, "ranges of TensorRT"):
        largest[name] = max(largest.get(name, 0.0), float(np.abs(tensor).max()))
    histograms = {name: np.zeros(BINS, np.int64) for name, most in largest.items() if most > 0}
    for name, tensor in _activations(model, values, "histograms of TensorRT"):
        if name in histograms:
            places = (np.abs(tensor).ravel() * (BINS / largest[name])).astype(np.int32)
            histograms[name] += np.bincount(np.minimum(places, BINS - 1), minlength=BINS)
    return text({name: threshold(counts) * largest[name] / 127 for name, counts in histograms.items()})


def text(scales: Mapping[str, float]) -> str:
    """The cache of scales by the name of their tensor."""
    return "\n".join([HEADER, *(f"{name}: {struct.pack('>f', scale).hex()}" for name, scale in scales.items())]) + "\n"


def threshold(counts: np.ndarray) -> float:
    """Where values are cut off, as a share of the largest.

    Args:
        counts: A histogram of magnitudes; the first bin holds the zeros, which every scale keeps, and does not count.
    """
    counts = np.concatenate([[0], counts[1:]]).astype(np.float64)
    ends = range(LEVELS, len(counts) + 1, STEP)
    return min(ends, key=lambda end: _divergence(counts, end)) / len(counts)


def _divergence(counts: np.ndarray, end: int) -> float:
    """The Kullback-Leibler divergence of the histogram, cut off at `end`, from itself in so many levels."""
    kept = counts[:end]
    whole = kept.copy()
    whole[-1] += counts[end:].sum()
    starts = np.arange(LEVELS) * end // LEVELS
    filled = np.add.reduceat((kept > 0).astype(np.float64), starts)
    means = np.add.reduceat(kept, starts) / np.maximum(filled, 1)
    coarse = np.where(kept > 0, np.repeat(means, np.diff(np.append(starts, end))), 0)
    if not coarse.any():
        return np.inf
    seen = whole > 0
    p, q = whole[seen] / whole.sum(), np.maximum(coarse[seen] / coarse.sum(), 1e-9)
    return float((p * np.log(p / q)).sum())


def _activations(model: Any, values: np.ndarray, what: str) -> Iterator[tuple[str, np.ndarray]]:
    """Every float tensor of the graph by its name, of each value in turn."""
    from onnx import TensorProto, shape_inference
    from onnxruntime import InferenceSession

    inferred = shape_inference.infer_shapes(model)
    have = {end.name for end in inferred.graph.output}
    inner = [tensor for tensor in inferred.graph.value_info if tensor.name not in have]
    inferred.graph.output.extend(t for t in inner if t.type.tensor_type.elem_type == TensorProto.FLOAT)
    session = InferenceSession(inferred.SerializeToString(), providers=["CPUExecutionProvider"])
    source, names = inferred.graph.input[0].name, [end.name for end in inferred.graph.output]
    for value in track(values, what):
        yield source, value
        yield from zip(names, session.run(names, {source: value[None]}), strict=True)
