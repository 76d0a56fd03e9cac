"""From a trained model to a number on a phone: convert, inspect, evaluate, benchmark, report.

The names below load on first use, so that importing this package needs neither TensorFlow nor the TFLite runtime.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_mobilenets.tflite.bundles.manifest import Bundle as Bundle
    from keras_mobilenets.tflite.bundles.manifest import read_bundle as read_bundle
    from keras_mobilenets.tflite.bundles.writer import bundle as bundle
    from keras_mobilenets.tflite.conversion.converter import convert as convert
    from keras_mobilenets.tflite.conversion.quantization_error import LayerErrors as LayerErrors
    from keras_mobilenets.tflite.conversion.quantization_error import layer_errors as layer_errors
    from keras_mobilenets.tflite.conversion.sensitivity import Sensitivity as Sensitivity
    from keras_mobilenets.tflite.conversion.sensitivity import sensitivity as sensitivity
    from keras_mobilenets.tflite.measurement.accuracy import Evaluation as Evaluation
    from keras_mobilenets.tflite.measurement.accuracy import evaluate as evaluate
    from keras_mobilenets.tflite.measurement.latency import benchmark as benchmark
    from keras_mobilenets.tflite.measurement.profiler import Profile as Profile
    from keras_mobilenets.tflite.measurement.profiler import profile as profile
    from keras_mobilenets.tflite.reports.image_grid import save_predictions as save_predictions
    from keras_mobilenets.tflite.reports.page import report as report
    from keras_mobilenets.tflite.results.results import Row as Row
    from keras_mobilenets.tflite.results.results import read_results as read_results
    from keras_mobilenets.tflite.results.results import write_results as write_results
    from keras_mobilenets.tflite.results.tables import markdown as markdown
    from keras_mobilenets.tflite.results.tables import table as table
    from keras_mobilenets.tflite.targets.gpu import GpuCheck as GpuCheck
    from keras_mobilenets.tflite.targets.gpu import check_gpu as check_gpu
    from keras_mobilenets.tflite.targets.inspection import inspect as inspect
    from keras_mobilenets.tflite.targets.nnapi import NnapiCheck as NnapiCheck
    from keras_mobilenets.tflite.targets.nnapi import check_nnapi as check_nnapi
    from keras_mobilenets.tflite.targets.whole_model_warning import TargetWarning as TargetWarning

# No module is named like a function: importing a submodule sets its name on the package, over the function.
_HOME = {
    "benchmark": "measurement.latency",
    "bundle": "bundles.writer",
    "Bundle": "bundles.manifest",
    "read_bundle": "bundles.manifest",
    "check_gpu": "targets.gpu",
    "check_nnapi": "targets.nnapi",
    "convert": "conversion.converter",
    "Evaluation": "measurement.accuracy",
    "evaluate": "measurement.accuracy",
    "inspect": "targets.inspection",
    "layer_errors": "conversion.quantization_error",
    "LayerErrors": "conversion.quantization_error",
    "markdown": "results.tables",
    "Profile": "measurement.profiler",
    "profile": "measurement.profiler",
    "report": "reports.page",
    "save_predictions": "reports.image_grid",
    "sensitivity": "conversion.sensitivity",
    "Sensitivity": "conversion.sensitivity",
    "table": "results.tables",
    "GpuCheck": "targets.gpu",
    "NnapiCheck": "targets.nnapi",
    "TargetWarning": "targets.whole_model_warning",
    "Row": "results.results",
    "read_results": "results.results",
    "write_results": "results.results",
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
