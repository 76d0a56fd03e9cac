"""Names of tensors: their order, and where those of a file and of a model differ."""

import re
from typing import Any

from keras_mobilenets.plurals import listed

# PyTorch's modules that end in the classes, and all those behind the last feature map.
HEAD = re.compile(r"(classifier|_?fc|head|head_dist|pre_logits)\.")
TOP = re.compile(rf"{HEAD.pattern}|(_?conv_head|norm_head)\.")


def natural(name: str) -> list[Any]:
    """The key that sorts names by the numbers in them: `block_2` before `block_10`."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def check_names(missing: Any, extra: Any, shapes: dict[str, tuple[Any, Any]]) -> None:
    """Raises a ValueError of one line that names what is missing, what is too much, and what has another shape.

    Args:
        missing: Names that the model has and the file has not.
        extra: Names that the file has and the model has not.
        shapes: Name: the shape in the file, the shape that the model needs.
    """
    wrong = [f"{name} {tuple(has)} for {tuple(needs)}" for name, (has, needs) in shapes.items() if has != needs]
    parts = [
        f"{title}: {listed(names, 8)}"
        for title, names in (
            ("missing", sorted(missing)),
            ("extra", sorted(extra)),
            ("of another shape", sorted(wrong)),
        )
        if names
    ]
    if parts:
        raise ValueError("; ".join(parts))
