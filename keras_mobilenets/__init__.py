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
    from keras_mobilenets.costing import Cost, cost
    from keras_mobilenets.efficientnet import (
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
    from keras_mobilenets.efficientnet_v2 import (
        EfficientNetV2B0,
        EfficientNetV2B1,
        EfficientNetV2B2,
        EfficientNetV2B3,
        EfficientNetV2L,
        EfficientNetV2M,
        EfficientNetV2S,
    )
    from keras_mobilenets.mobilenet_v1 import MobileNetV1
    from keras_mobilenets.mobilenet_v2 import MobileNetV2
    from keras_mobilenets.mobilenet_v3 import MobileNetV3Large, MobileNetV3Small
    from keras_mobilenets.mobilenet_v4 import (
        MobileNetV4ConvLarge,
        MobileNetV4ConvMedium,
        MobileNetV4ConvSmall,
        MobileNetV4HybridLarge,
        MobileNetV4HybridMedium,
    )
    from keras_mobilenets.predictions import decode_predictions
    from keras_mobilenets.preprocess import preprocess_input
    from keras_mobilenets.published import reference
    from keras_mobilenets.pytorch import from_torch
    from keras_mobilenets.resnet import ResNet18, ResNet50
    from keras_mobilenets.standard_convnet import StandardConvNet
    from keras_mobilenets.taps import features
    from keras_mobilenets.vgg import VGG16
    from keras_mobilenets.weights import load_weights

__version__ = "0.1.0"

# Builder: the module of its family.
_BUILDERS = {
    "MobileNetV1": "mobilenet_v1",
    "MobileNetV2": "mobilenet_v2",
    "MobileNetV3Large": "mobilenet_v3",
    "MobileNetV3Small": "mobilenet_v3",
    "EfficientNetB0": "efficientnet",
    "EfficientNetB1": "efficientnet",
    "EfficientNetB2": "efficientnet",
    "EfficientNetB3": "efficientnet",
    "EfficientNetB4": "efficientnet",
    "EfficientNetB5": "efficientnet",
    "EfficientNetB6": "efficientnet",
    "EfficientNetB7": "efficientnet",
    "EfficientNetLite0": "efficientnet",
    "EfficientNetLite1": "efficientnet",
    "EfficientNetLite2": "efficientnet",
    "EfficientNetLite3": "efficientnet",
    "EfficientNetLite4": "efficientnet",
    "EfficientNetV2B0": "efficientnet_v2",
    "EfficientNetV2B1": "efficientnet_v2",
    "EfficientNetV2B2": "efficientnet_v2",
    "EfficientNetV2B3": "efficientnet_v2",
    "EfficientNetV2S": "efficientnet_v2",
    "EfficientNetV2M": "efficientnet_v2",
    "EfficientNetV2L": "efficientnet_v2",
    "ResNet18": "resnet",
    "ResNet50": "resnet",
    "StandardConvNet": "standard_convnet",
    "VGG16": "vgg",
    "MobileNetV4ConvSmall": "mobilenet_v4",
    "MobileNetV4ConvMedium": "mobilenet_v4",
    "MobileNetV4ConvLarge": "mobilenet_v4",
    "MobileNetV4HybridMedium": "mobilenet_v4",
    "MobileNetV4HybridLarge": "mobilenet_v4",
}
# Helper: its module.
_HELPERS = {
    "Cost": "costing",
    "cost": "costing",
    "decode_predictions": "predictions",
    "features": "taps",
    "from_torch": "pytorch",
    "load_weights": "weights",
    "preprocess_input": "preprocess",
    "reference": "published",
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
