"""The best rate of multiply-adds this machine reaches in one convolution: the roofline of a model.

The convolutions are 1×1 with plenty of channels, the kind that mobile networks spend most of their multiply-adds in
(arXiv:1704.04861, table 2) and that every runtime computes best.
"""

import functools
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.runtime.model import load

SHAPES = ((14, 512), (28, 512), (28, 1024))  # side of the image, channels in and out
TRIES = 8  # timed runs of each shape, to find the best
DTYPES = ("int8", "float32")


@contextmanager
def best_convolution(dtype: str, threads: int = 1) -> Iterator[Path]:
    """A .tflite of the one convolution that runs at the highest rate here, to be timed beside models.

    Args:
        dtype: "int8" or "float32".
        threads: CPU threads.
    """
    side, channels = _best_shape(dtype, threads)
    with _file(side, channels, dtype) as path:
        yield path


@functools.cache
def _best_shape(dtype: str, threads: int) -> tuple[int, int]:
    return max(SHAPES, key=lambda shape: _rate(shape[0], shape[1], dtype, threads))


def _rate(side: int, channels: int, dtype: str, threads: int) -> float:
    """Multiply-adds per nanosecond, by the fastest of a few runs."""
    with _file(side, channels, dtype) as path:
        model, times = load(path, threads), []
        for _ in range(2 + TRIES):
            start = time.perf_counter_ns()
            model.interpreter.invoke()
            times.append(time.perf_counter_ns() - start)
    return side * side * channels * channels / min(times[2:])


@contextmanager
def _file(side: int, channels: int, dtype: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"best_convolution_{dtype}.tflite"
        path.write_bytes(convolution(side, channels, dtype))
        yield path


def convolution(side: int, channels: int, dtype: str) -> bytes:
    """A .tflite with one 1×1 convolution and nothing else.

    Args:
        side: Height and width of the image.
        channels: Of the input and of the output.
        dtype: "int8" (weights per channel, as converters write them) or "float32".
    """
    code = schema.BuiltinOperator.CONV_2D
    model = schema.ModelT(
        version=3,
        buffers=[schema.BufferT()],
        operatorCodes=[schema.OperatorCodeT(deprecatedBuiltinCode=code, builtinCode=code, version=3)],
        subgraphs=[schema.SubGraphT(tensors=[], operators=[])],
    )
    graph, rng = flatbuffer.Graph(model), np.random.default_rng(0)
    weights, bias = rng.integers(-127, 128, (channels, 1, 1, channels)), np.zeros(channels)
    image = (1, side, side, channels)
    if dtype == "int8":
        kind, ends, step = schema.TensorType.INT8, _scales(0.02), 0.01
        tensors = [
            graph.add_tensor("image", image, kind, ends),
            graph.add_tensor("weights", weights.shape, kind, _scales(*[step] * channels), weights.astype(np.int8)),
            graph.add_tensor(
                "bias", bias.shape, schema.TensorType.INT32, _scales(*[0.02 * step] * channels), bias.astype(np.int32)
            ),
        ]
        result = graph.add_tensor("result", image, kind, _scales(1.0))
    else:
        kind = schema.TensorType.FLOAT32
        tensors = [
            graph.add_tensor("image", image, kind),
            graph.add_tensor("weights", weights.shape, kind, values=(weights / 127).astype(np.float32)),
            graph.add_tensor("bias", bias.shape, kind, values=bias.astype(np.float32)),
        ]
        result = graph.add_tensor("result", image, kind)
    graph.operators.append(
        schema.OperatorT(
            inputs=np.array(tensors, np.int32),
            outputs=np.array([result], np.int32),
            builtinOptionsType=schema.BuiltinOptions.Conv2DOptions,
            builtinOptions=schema.Conv2DOptionsT(strideW=1, strideH=1),
        )
    )
    model.subgraphs[0].inputs = np.array(tensors[:1], np.int32)
    model.subgraphs[0].outputs = np.array([result], np.int32)
    return flatbuffer.write(model)


def _scales(*scales: float) -> Any:
    return schema.QuantizationParametersT(
        scale=np.array(scales, np.float32), zeroPoint=np.zeros(len(scales), np.int64), quantizedDimension=0
    )
