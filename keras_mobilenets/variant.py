"""A variant of a builder in the words of the tables `models.csv`, `latencies.csv` and `imagenet.csv`."""

from collections.abc import Mapping, Sequence
from typing import Any

DEFAULTS = {"alpha": 1.0, "width": 1.0, "minimalistic": False, "stem_strides": 2, "groups": 3}
HARMLESS = ("dropout_rate", "name", "classifier_activation", "weights")  # they leave the operators as they are


def network_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that make another network of a builder's own: without defaults and what no operator comes of."""
    return {
        key: value
        for key, value in arguments.items()
        if key not in HARMLESS and not (key in DEFAULTS and value == DEFAULTS[key])
    }


def label(builder: str, arguments: Mapping[str, Any], input_size: int | str, remarks: Sequence[str] = ()) -> str:
    """The variant in one word: `MobileNetV2(alpha=0.5) 224`."""
    words = [*(f"{key}={value}" for key, value in arguments.items()), *remarks]
    return f"{builder}({', '.join(words)}) {input_size}"


def parse_arguments(text: str) -> dict[str, Any]:
    """Reads the arguments of "groups=3; width=0.5; classifier without bias"."""
    pairs = (part.partition("=") for part in _parts(text) if "=" in part)
    return {key: _number(value) for key, _, value in pairs}


def parse_remarks(text: str) -> tuple[str, ...]:
    """Reads what is no argument of "groups=3; width=0.5; classifier without bias"."""
    return tuple(part for part in _parts(text) if "=" not in part)


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(";") if part.strip()]


def _number(text: str) -> Any:
    if text in ("True", "False"):
        return text == "True"
    return float(text) if "." in text else int(text)
