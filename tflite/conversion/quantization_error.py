"""How far each int8 activation of a .tflite is from the float model's, on real images.

SQNR is the power of the float values over that of the differences, in decibels; about 6 dB are one bit.
"""

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.conversion.samples import samples
from keras_mobilenets.tflite.conversion.traced_graph import Input
from keras_mobilenets.tflite.graph import flatbuffer, layer_names
from keras_mobilenets.tflite.graph.file_identifier import check_file
from keras_mobilenets.tflite.results.layer_errors import LayerError, LayerErrors
from keras_mobilenets.tflite.runtime.activations import Activations, each
from keras_mobilenets.tflite.runtime.input_scaling import scaling_of_file
from keras_mobilenets.tflite.runtime.model import dequantized


def layer_errors(
    float_model: Any, path: str | Path, images: Any, limit: int = 64, *, pixels: Any = None
) -> LayerErrors:
    """Compares every int8 activation with the float model's on the same images.

    Activations are matched by name, which `convert` takes from the Keras layers. Those that only one of the two graphs
    has are left out, such as what a target's form of h-swish computes inside. Where equalization has scaled the
    channels, each is compared by the factor that fits best.

    Args:
        float_model: What the int8 file was converted from: a model or its `.keras` file, or the float .tflite.
        path: The int8 .tflite.
        images: Real images, as `convert` takes for calibration.
        limit: At most this many, the first ones.
        pixels: What the input means, as in `convert`; by default the int8 file says it.

    Returns:
        The errors; `str()` of them is a table, the worst first.

    Raises:
        UserError: A file cannot be read, the images do not fit, or the two files have no activation in common.
    """
    check_file(path)
    content, inputs = _float_content(float_model)
    model, quantized = flatbuffer.read(content), flatbuffer.read(Path(path).read_bytes(), path)
    graph = model.subgraphs[0]
    values = samples(images, limit, inputs, functools.partial(scaling_of_file, path, pixels), path).values
    expected, computed = Activations(content), Activations(Path(path).read_bytes())
    place_of = {graph.tensors[t].name.decode(): place for place, t in enumerate(expected.tensors)}
    points = _points(quantized, computed.tensors, place_of)
    matched = [point for point in points if point.expected is not None]
    if not matched:
        raise UserError(f"{path} has no activation of the float model by name; convert both with this version")
    for (_, floats), (_, stored) in zip(
        expected.over(values, "Comparing layers"),
        ((None, computed.run(sample)) for sample in each(values)),
        strict=True,
    ):
        for point in matched:
            point.add(floats[point.expected], stored[point.place])
    return LayerErrors(Path(path), tuple(point.error() for point in matched), len(points), len(values[0]))


def _float_content(model: Any) -> tuple[bytes, Sequence[Input]]:
    if isinstance(model, str | Path) and Path(model).suffix == ".tflite":
        check_file(model)
        content = Path(model).read_bytes()
        graph = flatbuffer.read(content, model).subgraphs[0]
        found = [graph.tensors[tensor] for tensor in graph.inputs]
        return content, [Input(t.name.decode(), tuple(map(int, t.shape)), flatbuffer.type_name(t.type)) for t in found]
    from keras_mobilenets.tflite.conversion.float_graph import float_graph

    converted = float_graph(model, for_int8=True)
    return converted.content, converted.inputs


def _points(quantized: Any, tensors: list[int], place_of: dict[str, int]) -> list["_Point"]:
    """The int8 activations, in the order of execution."""
    graph, points, place = quantized.subgraphs[0], [], 0
    for index, operator in enumerate(graph.operators):
        name = flatbuffer.operator_name(quantized, operator)
        for _ in operator.outputs:
            tensor = graph.tensors[tensors[place]]
            scales, zero_point = flatbuffer.scales(tensor)
            if scales and flatbuffer.type_name(tensor.type) == "int8":
                points.append(_Point(index, name, tensor.name.decode(), place, scales[0], zero_point, place_of))
            place += 1
    return points


class _Point:
    """Sums over the images for one int8 activation."""

    def __init__(
        self, index: int, operator: str, name: str, place: int, scale: float, zero_point: int, place_of: dict[str, int]
    ) -> None:
        name, _, factor = name.partition(layer_names.TIMES)
        self._is_equalized = name.endswith(layer_names.EQUALIZED)
        name = name.removesuffix(layer_names.EQUALIZED)
        self.index, self.operator, self.place = index, operator, place
        self.layer = layer_names.layers(name)[0]
        self.expected: Any = place_of.get(name)
        # Where it stands for a multiple of what the layer gives, one step is that much less of it.
        self.scale, self.zero_point = scale / float(factor or 1), zero_point
        self._sums: Any = 0.0
        self._count = 0
        self._low, self._high = np.inf, -np.inf

    def add(self, floats: np.ndarray, stored: np.ndarray) -> None:
        x = floats.reshape(-1, *floats.shape[-1:] or (1,)).astype(np.float64)
        y = dequantized(stored.reshape(x.shape), self.scale, self.zero_point).astype(np.float64)
        self._sums += np.stack([(a * b).sum(axis=0) for a, b in ((x, x), (y, y), (x, y))] + [x.sum(0), y.sum(0)])
        self._count += x.size
        self._low, self._high = np.minimum(self._low, x.min(axis=0)), np.maximum(self._high, x.max(axis=0))

    def error(self) -> LayerError:
        factors = self._factors()
        ones = np.ones(len(factors))
        x2, y2, xy, x, y = self._sums / np.stack([ones, factors**2, factors, ones, factors])
        signal, other, product = (float(part.sum()) for part in (x2, y2, xy))
        noise = max(0.0, float((x2 - 2 * xy + y2).sum()))
        span = max(0.0, float((self._high * factors).max())) - min(0.0, float((self._low * factors).min()))
        return LayerError(
            self.index,
            self.operator,
            self.layer,
            sqnr_db=10 * math.log10(signal / noise) if signal and noise else None,
            cosine=product / math.sqrt(signal * other) if signal and other else None,
            bias=float((y - x).sum()) / self._count,
            scale=self.scale,
            used=span / (255 * self.scale),
        )

    def _factors(self) -> Any:
        """What equalization has multiplied each channel by: nothing says it, the values do."""
        x2, _, xy = self._sums[:3]
        if not self._is_equalized:
            return np.ones(len(x2))
        return np.divide(xy, x2, where=(x2 > 0) & (xy > 0), out=np.ones(len(x2)))
