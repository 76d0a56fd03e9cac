"""A variant of a builder in the words of the tables `models.csv`, `latencies.csv` and `imagenet.csv`."""

from collections.abc import Mapping
from typing import Any

DEFAULTS = {"alpha": 1.0, "width": 1.0, "minimalistic": False, "stem_strides": 2}
HARMLESS = ("dropout_rate", "name", "classifier_activation", "weights")  # they leave the operators as they are


def network_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that make another network of a builder's own: without defaults and what no operator comes of."""
    return {
        key: value
        for key, value in arguments.items()
        if key not in HARMLESS and not (key in DEFAULTS and value == DEFAULTS[key])
    }


def label(builder: str, arguments: Mapping[str, Any], input_size: int | str) -> str:
    """The variant in one word: `MobileNetV2(alpha=0.5) 224`."""
    return f"{builder}({', '.join(f'{key}={value}' for key, value in arguments.items())}) {input_size}"


def parse_arguments(text: str) -> dict[str, Any]:
    """Reads "groups=3; width=0.5; classifier without bias"; a part without a value is a remark, kept as True."""
    result: dict[str, Any] = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        key, _, value = part.partition("=")
        result[key] = _number(value) if value else True
    return result


def _number(text: str) -> Any:
    if text in ("True", "False"):
        return text == "True"
    return float(text) if "." in text else int(text)
