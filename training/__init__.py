"""Training for the models of keras_mobilenets: data, recipes, fit.

The names below are imported when they are first used, so that `import keras_mobilenets.training` stays fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_mobilenets.training.bridge import to_keras as to_keras
    from keras_mobilenets.training.bridge import to_tf_keras as to_tf_keras
    from keras_mobilenets.training.channel_pruning import prune_channels as prune_channels
    from keras_mobilenets.training.clustering import cluster as cluster
    from keras_mobilenets.training.data import Data as Data
    from keras_mobilenets.training.data import load_data as load_data
    from keras_mobilenets.training.distillation import distill as distill
    from keras_mobilenets.training.distributed import join_processes as join_processes
    from keras_mobilenets.training.examining import Examination as Examination
    from keras_mobilenets.training.examining import examine as examine
    from keras_mobilenets.training.examining import read_examination as read_examination
    from keras_mobilenets.training.explaining import grad_cam as grad_cam
    from keras_mobilenets.training.explaining import overlay as overlay
    from keras_mobilenets.training.fitting import fit as fit
    from keras_mobilenets.training.loading import load_model as load_model
    from keras_mobilenets.training.quantization import quantize_aware as quantize_aware
    from keras_mobilenets.training.quantization import quantized_layers as quantized_layers
    from keras_mobilenets.training.recipe import Recipe as Recipe
    from keras_mobilenets.training.shapes import Shapes as Shapes
    from keras_mobilenets.training.transfer import fine_tune as fine_tune
    from keras_mobilenets.training.transfer import pretrained as pretrained
    from keras_mobilenets.training.weight_pruning import Sensitivity as Sensitivity
    from keras_mobilenets.training.weight_pruning import prune as prune
    from keras_mobilenets.training.weight_pruning import sensitivity as sensitivity

# Where each name lives. No module may be called as a public name: importing it would put it in the name's place.
_MODULE_OF = {
    "Data": "data",
    "Examination": "examining",
    "Recipe": "recipe",
    "Sensitivity": "weight_pruning",
    "Shapes": "shapes",
    "cluster": "clustering",
    "distill": "distillation",
    "examine": "examining",
    "fine_tune": "transfer",
    "fit": "fitting",
    "grad_cam": "explaining",
    "join_processes": "distributed",
    "load_data": "data",
    "load_model": "loading",
    "overlay": "explaining",
    "pretrained": "transfer",
    "prune": "weight_pruning",
    "prune_channels": "channel_pruning",
    "quantize_aware": "quantization",
    "quantized_layers": "quantization",
    "read_examination": "examining",
    "sensitivity": "weight_pruning",
    "to_keras": "bridge",
    "to_tf_keras": "bridge",
}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
