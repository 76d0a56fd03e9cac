"""The builders by name, as the package's `__init__.pyi` lists them."""

import ast
from functools import cache
from importlib import import_module
from importlib.resources import files
from typing import Any

from keras_mobilenets.errors import UserError, unknown

_HEADS = ("SSDLite",)  # which are put on a network that is there


@cache
def _modules() -> dict[str, str]:
    """Every builder's module, family by family: what `__init__.pyi` imports from `models` in capitals."""
    stub = ast.parse((files("keras_mobilenets") / "__init__.pyi").read_text(encoding="utf-8"))
    return {
        alias.name: f"keras_mobilenets.{node.module}"
        for node in stub.body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("models.")
        for alias in node.names
        if alias.name[0].isupper() and alias.name not in _HEADS
    }


def list_models() -> list[str]:
    """The names of all builders, family by family."""
    return list(_modules())


def create_model(model: str, /, **arguments: Any) -> Any:
    """Builds a model by the name of its builder: `create_model("MobileNetV2", alpha=0.5, classes=10)`.

    Args:
        model: A name from `list_models`, in any case.
        **arguments: The builder's own.

    Returns:
        The Keras model.

    Raises:
        UserError: No builder has that name, the builder takes no such argument, or refuses its value.
    """
    builder = builder_named(model)
    try:
        return builder(**arguments)
    except TypeError as error:
        if "unexpected keyword argument" not in str(error):
            raise
        raise UserError(
            f"{builder.__name__} takes no {str(error).rsplit(maxsplit=1)[-1]}; see help({builder.__name__})"
        ) from error


def builder_named(model: str) -> Any:
    """The builder of that name, in any case.

    Raises:
        UserError: No builder has that name.
    """
    names = {name.lower(): name for name in _modules()}
    if not isinstance(model, str) or model.lower() not in names:
        raise unknown("model", model, list_models(), "keras-mobilenets models")
    name = names[model.lower()]
    return getattr(import_module(_modules()[name]), name)
