"""A variant of a builder in the words of the tables `models.csv` and `imagenet.csv`."""

from typing import Any


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
