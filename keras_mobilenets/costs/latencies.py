"""The latencies that others published of the same networks, on which phone and from which source: `latencies.csv`."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from keras_mobilenets.errors import UserError, unknown
from keras_mobilenets.models.catalog import list_models
from keras_mobilenets.variant import label, network_arguments, parse_arguments

# What the sources say, in the words of results.json. Int8 weights beside float activations, or a part alone of them
# in int16, are none of its quantizations.
_QUANTIZATIONS = {
    "float32": "none",
    "float": "none",
    "float16": "float16",
    "int8 (PTQ)": "int8",
    "uint8 (QAT)": "int8",
    "w8a8": "int8",
    "w8a16": "int16x8",
}
_BACKENDS = {  # by how the source's name of the runtime begins
    "TFLite CPU": "cpu",
    "XNNPACK CPU": "xnnpack",
    "TFLite GPU": "gpu",
    "NNAPI": "nnapi",
    "TFLite QNN delegate": "qualcomm",
    "QNN DLC": "qualcomm",
    "EdgeTPU": "edgetpu",
}


@dataclass(frozen=True)
class PublishedLatency:
    """One latency that was published of a network with ImageNet's classes.

    Attributes:
        builder: Name of the builder, such as "MobileNetV2".
        arguments: What the builder is given.
        input_size: Side of the square input in pixels.
        device: The phone or board.
        runtime: What ran it, with threads or cores, in the source's words.
        precision: Number formats, in the source's words.
        latency_ms: Of one image, in milliseconds.
        source: Where it was published.
    """

    builder: str
    arguments: dict[str, Any]
    input_size: int
    device: str
    runtime: str
    precision: str
    latency_ms: float
    source: str

    @property
    def label(self) -> str:
        """The network in one word: `MobileNetV2(alpha=0.5) 224`."""
        return label(self.builder, self.arguments, self.input_size)

    @property
    def quantization(self) -> str | None:
        """As results.json names it ("none" is float32); None where it names none that is the same."""
        return _QUANTIZATIONS.get(self.precision)

    @property
    def backend(self) -> str:
        """As results.json names it: cpu (no delegate), xnnpack, gpu, nnapi, qualcomm, edgetpu."""
        return next(backend for begins, backend in _BACKENDS.items() if self.runtime.startswith(begins))


@cache
def latencies() -> tuple[PublishedLatency, ...]:
    """Every row of latencies.csv, in its order; some are of networks that the package does not build."""
    text = (files("keras_mobilenets.costs") / "latencies.csv").read_text(encoding="utf-8")
    return tuple(
        PublishedLatency(
            row["builder"],
            parse_arguments(row["arguments"]),
            int(row["input_size"]),
            row["device"],
            row["runtime"],
            row["precision"],
            float(row["latency_ms"]),
            row["source"],
        )
        for row in csv.DictReader(text.splitlines())
    )


def published_latency(
    model: str,
    *,
    input_size: int | None = None,
    quantization: str | None = None,
    backend: str | None = None,
    **arguments: Any,
) -> tuple[PublishedLatency, ...]:
    """What was published of exactly this network: `km.published_latency("MobileNetV2", alpha=0.5, input_size=224)`.

    Nothing is interpolated, and no similar network stands in. The figures are of classifiers of ImageNet's classes, and
    hold for the device, the runtime and the year of their source.

    Args:
        model: Name of the builder, in any case.
        input_size: Side of the input in pixels; every published size when not given.
        quantization: Only "none" (float32), "float16", "dynamic", "int8" or "int16x8".
        backend: Only "cpu" (no delegate), "xnnpack", "gpu", "nnapi", "qualcomm" or "edgetpu".
        **arguments: The builder's arguments that name the variant (alpha defaults to 1).

    Returns:
        The rows of latencies.csv, in its order; empty where nothing was published.

    Raises:
        UserError: There is no such model, quantization or backend.
    """
    known = dict.fromkeys([*list_models(), *(row.builder for row in latencies())])
    names = {name.lower(): name for name in known}
    if str(model).lower() not in names:
        raise unknown("model", model, list(known), "keras-mobilenets models")
    for name, value, choices in (
        ("quantization", quantization, ("none", "float16", "dynamic", "int8", "int16x8")),
        ("backend", backend, tuple(dict.fromkeys(_BACKENDS.values()))),
    ):
        if value is not None and value not in choices:
            raise UserError(f"{name}={value!r}: choose one of {', '.join(choices)}")
    return tuple(
        row
        for row in of_network(names[str(model).lower()], arguments)
        if input_size in (None, row.input_size)
        and quantization in (None, row.quantization)
        and backend in (None, row.backend)
    )


def of_network(builder: str, arguments: Mapping[str, Any]) -> list[PublishedLatency]:
    """The rows of a builder with these arguments, at every size; `builder` is its name or anything else."""
    wanted = network_arguments(arguments)
    return [row for row in latencies() if row.builder == builder and network_arguments(row.arguments) == wanted]
