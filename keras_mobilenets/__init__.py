"""Mobile vision models from a Keras builder to a number on a phone.

    import keras_mobilenets as km

    model = km.MobileNetV2(alpha=0.5, classes=10)
    print(km.cost(model))

Importing the package is cheap: Keras is imported when a builder or helper is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from keras_mobilenets.errors import UserError

if TYPE_CHECKING:
    from keras_mobilenets import blocks
    from keras_mobilenets.costs.model_cost import Cost, cost
    from keras_mobilenets.costs.published import reference
    from keras_mobilenets.models.efficientnet import (
        EfficientNetB0,
        EfficientNetB1,
        EfficientNetB2,
        EfficientNetB3,
        EfficientNetB4,
        EfficientNetB5,
        EfficientNetB6,
        EfficientNetB7,
        EfficientNetLite0,
        EfficientNetLite1,
        EfficientNetLite2,
        EfficientNetLite3,
        EfficientNetLite4,
    )
    from keras_mobilenets.models.efficientnet_v2 import (
        EfficientNetV2B0,
        EfficientNetV2B1,
        EfficientNetV2B2,
        EfficientNetV2B3,
        EfficientNetV2L,
        EfficientNetV2M,
        EfficientNetV2S,
    )
    from keras_mobilenets.models.feature_maps import features
    from keras_mobilenets.models.mobilenet_v1 import MobileNetV1
    from keras_mobilenets.models.mobilenet_v2 import MobileNetV2
    from keras_mobilenets.models.mobilenet_v3 import MobileNetV3Large, MobileNetV3Small
    from keras_mobilenets.models.mobilenet_v4 import (
        MobileNetV4ConvLarge,
        MobileNetV4ConvMedium,
        MobileNetV4ConvSmall,
        MobileNetV4HybridLarge,
        MobileNetV4HybridMedium,
    )
    from keras_mobilenets.models.resnet import ResNet18, ResNet50
    from keras_mobilenets.models.standard_convnet import StandardConvNet
    from keras_mobilenets.models.vgg import VGG16
    from keras_mobilenets.pixels.scaling import preprocess_input
    from keras_mobilenets.weights.imagenet_classes import decode_predictions
    from keras_mobilenets.weights.keras_files import load_weights
    from keras_mobilenets.weights.pytorch import from_torch

__version__ = "0.1.0"

# Builder: the module of its family.
_BUILDERS = {
    "MobileNetV1": "models.mobilenet_v1",
    "MobileNetV2": "models.mobilenet_v2",
    "MobileNetV3Large": "models.mobilenet_v3",
    "MobileNetV3Small": "models.mobilenet_v3",
    "EfficientNetB0": "models.efficientnet",
    "EfficientNetB1": "models.efficientnet",
    "EfficientNetB2": "models.efficientnet",
    "EfficientNetB3": "models.efficientnet",
    "EfficientNetB4": "models.efficientnet",
    "EfficientNetB5": "models.efficientnet",
    "EfficientNetB6": "models.efficientnet",
    "EfficientNetB7": "models.efficientnet",
    "EfficientNetLite0": "models.efficientnet",
    "EfficientNetLite1": "models.efficientnet",
    "EfficientNetLite2": "models.efficientnet",
    "EfficientNetLite3": "models.efficientnet",
    "EfficientNetLite4": "models.efficientnet",
    "EfficientNetV2B0": "models.efficientnet_v2",
    "EfficientNetV2B1": "models.efficientnet_v2",
    "EfficientNetV2B2": "models.efficientnet_v2",
    "EfficientNetV2B3": "models.efficientnet_v2",
    "EfficientNetV2S": "models.efficientnet_v2",
    "EfficientNetV2M": "models.efficientnet_v2",
    "EfficientNetV2L": "models.efficientnet_v2",
    "ResNet18": "models.resnet",
    "ResNet50": "models.resnet",
    "StandardConvNet": "models.standard_convnet",
    "VGG16": "models.vgg",
    "MobileNetV4ConvSmall": "models.mobilenet_v4",
    "MobileNetV4ConvMedium": "models.mobilenet_v4",
    "MobileNetV4ConvLarge": "models.mobilenet_v4",
    "MobileNetV4HybridMedium": "models.mobilenet_v4",
    "MobileNetV4HybridLarge": "models.mobilenet_v4",
}
# Helper: its module.
_HELPERS = {
    "Cost": "costs.model_cost",
    "cost": "costs.model_cost",
    "decode_predictions": "weights.imagenet_classes",
    "features": "models.feature_maps",
    "from_torch": "weights.pytorch",
    "load_weights": "weights.keras_files",
    "preprocess_input": "pixels.scaling",
    "reference": "costs.published",
}

__all__ = [
    "VGG16",
    "Cost",
    "EfficientNetB0",
    "EfficientNetB1",
    "EfficientNetB2",
    "EfficientNetB3",
    "EfficientNetB4",
    "EfficientNetB5",
    "EfficientNetB6",
    "EfficientNetB7",
    "EfficientNetLite0",
    "EfficientNetLite1",
    "EfficientNetLite2",
    "EfficientNetLite3",
    "EfficientNetLite4",
    "EfficientNetV2B0",
    "EfficientNetV2B1",
    "EfficientNetV2B2",
    "EfficientNetV2B3",
    "EfficientNetV2L",
    "EfficientNetV2M",
    "EfficientNetV2S",
    "MobileNetV1",
    "MobileNetV2",
    "MobileNetV3Large",
    "MobileNetV3Small",
    "MobileNetV4ConvLarge",
    "MobileNetV4ConvMedium",
    "MobileNetV4ConvSmall",
    "MobileNetV4HybridLarge",
    "MobileNetV4HybridMedium",
    "ResNet18",
    "ResNet50",
    "StandardConvNet",
    "UserError",
    "blocks",
    "cost",
    "create_model",
    "decode_predictions",
    "features",
    "from_torch",
    "list_models",
    "load_weights",
    "preprocess_input",
    "reference",
]


def list_models() -> list[str]:
    """The names of all builders, family by family."""
    return list(_BUILDERS)


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
    builders = {name.lower(): name for name in _BUILDERS}
    if not isinstance(model, str) or model.lower() not in builders:
        from keras_mobilenets.errors import unknown

        raise unknown("model", model, list_models(), "keras-mobilenets models")
    builder = __getattr__(builders[model.lower()])
    try:
        return builder(**arguments)
    except TypeError as error:
        if "unexpected keyword argument" not in str(error):
            raise
        raise UserError(
            f"{builder.__name__} takes no {str(error).rsplit(maxsplit=1)[-1]}; see help({builder.__name__})"
        ) from error


def __getattr__(name: str) -> Any:
    if name in _BUILDERS or name in _HELPERS:
        module = importlib.import_module(f"{__name__}.{_BUILDERS.get(name) or _HELPERS[name]}")
        return getattr(module, name)
    if name == "blocks":
        return importlib.import_module(f"{__name__}.blocks")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
