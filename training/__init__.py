"""Training for the models of keras_mobilenets: data, recipes, fit.

The names below are imported when they are first used, so that `import keras_mobilenets.training` stays fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_mobilenets.training.channel_pruning.pruner import prune_channels as prune_channels
    from keras_mobilenets.training.compression.keras_bridge import to_keras as to_keras
    from keras_mobilenets.training.compression.keras_bridge import to_tf_keras as to_tf_keras
    from keras_mobilenets.training.compression.model_loader import load_model as load_model
    from keras_mobilenets.training.compression.qat import quantize_aware as quantize_aware
    from keras_mobilenets.training.compression.qat import quantized_layers as quantized_layers
    from keras_mobilenets.training.compression.weight_clustering import cluster as cluster
    from keras_mobilenets.training.compression.weight_pruning import Sensitivity as Sensitivity
    from keras_mobilenets.training.compression.weight_pruning import prune as prune
    from keras_mobilenets.training.compression.weight_pruning import sensitivity as sensitivity
    from keras_mobilenets.training.datasets.dataset import Data as Data
    from keras_mobilenets.training.datasets.dataset import load_data as load_data
    from keras_mobilenets.training.datasets.shapes import Shapes as Shapes
    from keras_mobilenets.training.distribution.process_group import join_processes as join_processes
    from keras_mobilenets.training.engine.trainer import fit as fit
    from keras_mobilenets.training.evaluation.examination import Examination as Examination
    from keras_mobilenets.training.evaluation.examination import examine as examine
    from keras_mobilenets.training.evaluation.examination import read_examination as read_examination
    from keras_mobilenets.training.evaluation.saliency import grad_cam as grad_cam
    from keras_mobilenets.training.evaluation.saliency import overlay as overlay
    from keras_mobilenets.training.objectives.distillation import distill as distill
    from keras_mobilenets.training.objectives.fine_tuning import fine_tune as fine_tune
    from keras_mobilenets.training.objectives.fine_tuning import pretrained as pretrained
    from keras_mobilenets.training.recipe import Recipe as Recipe

# Where each name lives. No module may be called as a public name: importing it would put it in the name's place.
_MODULE_OF = {
    "Data": "datasets.dataset",
    "Examination": "evaluation.examination",
    "Recipe": "recipe",
    "Sensitivity": "compression.weight_pruning",
    "Shapes": "datasets.shapes",
    "cluster": "compression.weight_clustering",
    "distill": "objectives.distillation",
    "examine": "evaluation.examination",
    "fine_tune": "objectives.fine_tuning",
    "fit": "engine.trainer",
    "grad_cam": "evaluation.saliency",
    "join_processes": "distribution.process_group",
    "load_data": "datasets.dataset",
    "load_model": "compression.model_loader",
    "overlay": "evaluation.saliency",
    "pretrained": "objectives.fine_tuning",
    "prune": "compression.weight_pruning",
    "prune_channels": "channel_pruning.pruner",
    "quantize_aware": "compression.qat",
    "quantized_layers": "compression.qat",
    "read_examination": "evaluation.examination",
    "sensitivity": "compression.weight_pruning",
    "to_keras": "compression.keras_bridge",
    "to_tf_keras": "compression.keras_bridge",
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
