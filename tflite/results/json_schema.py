"""The check of a JSON file against its JSON Schema (2020-12), refused in one line."""

import functools
import json
from pathlib import Path
from typing import Any

from keras_mobilenets.errors import UserError


def check(content: Any, schema: Path, path: str | Path) -> None:
    """Refuses what does not fit.

    Args:
        content: What the file holds, as JSON values.
        schema: The JSON Schema's file.
        path: The file, for the message.

    Raises:
        UserError: It does not fit; the message says where.
    """
    from jsonschema.exceptions import best_match

    problem = best_match(_validator(schema).iter_errors(content))
    if problem is not None:
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem.path).lstrip(".")
        reason = " ".join(problem.message.split())
        raise UserError(f"{path} does not fit {schema.name} at {place or 'its top'}: {reason[:200]}")


@functools.cache
def _validator(schema: Path) -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(
        json.loads(schema.read_text(encoding="utf-8")), format_checker=Draft202012Validator.FORMAT_CHECKER
    )
