"""Training for the models of keras_mobilenets: data, recipes, fit.

The names below are imported when they are first used, so that `import keras_mobilenets.training` stays fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_mobilenets.training.data import Data, load_data
    from keras_mobilenets.training.fitting import fit
    from keras_mobilenets.training.recipe import Recipe
    from keras_mobilenets.training.shapes import Shapes

# Where each name lives. No module may be called as a public name: importing it would put it in the name's place.
_MODULE_OF = {"Data": "data", "load_data": "data", "Recipe": "recipe", "Shapes": "shapes", "fit": "fitting"}

__all__ = ["Data", "Recipe", "Shapes", "fit", "load_data"]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
