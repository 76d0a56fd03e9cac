"""From a trained model to a number on a phone: convert, inspect, evaluate, benchmark, report.

The names below load on first use, so that importing this package needs neither TensorFlow nor the TFLite runtime.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_mobilenets.tflite.benchmarking import benchmark as benchmark
    from keras_mobilenets.tflite.bundling import bundle as bundle
    from keras_mobilenets.tflite.conversion import convert as convert
    from keras_mobilenets.tflite.evaluation import Evaluation as Evaluation
    from keras_mobilenets.tflite.evaluation import evaluate as evaluate
    from keras_mobilenets.tflite.gpu import GpuCheck as GpuCheck
    from keras_mobilenets.tflite.gpu import check_gpu as check_gpu
    from keras_mobilenets.tflite.inspection import inspect as inspect
    from keras_mobilenets.tflite.leftovers import TargetWarning as TargetWarning
    from keras_mobilenets.tflite.manifest import Bundle as Bundle
    from keras_mobilenets.tflite.manifest import read_bundle as read_bundle
    from keras_mobilenets.tflite.nnapi import NnapiCheck as NnapiCheck
    from keras_mobilenets.tflite.nnapi import check_nnapi as check_nnapi
    from keras_mobilenets.tflite.picture_grid import save_predictions as save_predictions
    from keras_mobilenets.tflite.profiling import Profile as Profile
    from keras_mobilenets.tflite.profiling import profile as profile
    from keras_mobilenets.tflite.quantization_errors import LayerErrors as LayerErrors
    from keras_mobilenets.tflite.quantization_errors import layer_errors as layer_errors
    from keras_mobilenets.tflite.reporting import report as report
    from keras_mobilenets.tflite.results import Row as Row
    from keras_mobilenets.tflite.results import read_results as read_results
    from keras_mobilenets.tflite.results import write_results as write_results
    from keras_mobilenets.tflite.sensitivities import Sensitivity as Sensitivity
    from keras_mobilenets.tflite.sensitivities import sensitivity as sensitivity
    from keras_mobilenets.tflite.tables import markdown as markdown
    from keras_mobilenets.tflite.tables import table as table

# No module is named like a function: importing a submodule sets its name on the package, over the function.
_HOME = {
    "benchmark": "benchmarking",
    "bundle": "bundling",
    "Bundle": "manifest",
    "read_bundle": "manifest",
    "check_gpu": "gpu",
    "check_nnapi": "nnapi",
    "convert": "conversion",
    "Evaluation": "evaluation",
    "evaluate": "evaluation",
    "inspect": "inspection",
    "layer_errors": "quantization_errors",
    "LayerErrors": "quantization_errors",
    "markdown": "tables",
    "Profile": "profiling",
    "profile": "profiling",
    "report": "reporting",
    "save_predictions": "picture_grid",
    "sensitivity": "sensitivities",
    "Sensitivity": "sensitivities",
    "table": "tables",
    "GpuCheck": "gpu",
    "NnapiCheck": "nnapi",
    "TargetWarning": "leftovers",
    "Row": "results",
    "read_results": "results",
    "write_results": "results",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    """Imports the module that holds `name` when it is first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    """Lists the lazy names too, so that completion finds them."""
    return sorted({*globals(), *_HOME})
