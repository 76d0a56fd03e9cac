# The public names. Those of `models` are the builders, in the order of list_models(): a new family is a line here.
from . import blocks as blocks
from . import pipeline as pipeline
from . import tflite as tflite  # type: ignore[attr-defined]  # ../tflite: mypy does not see that it is installed here
from . import training as training  # ../training
from .models.mobilenet_v1 import MobileNetV1 as MobileNetV1
from .models.mobilenet_v2 import MobileNetV2 as MobileNetV2
from .models.mobilenet_v3 import MobileNetV3Large as MobileNetV3Large
from .models.mobilenet_v3 import MobileNetV3Small as MobileNetV3Small
from .models.efficientnet import EfficientNetB0 as EfficientNetB0
from .models.efficientnet import EfficientNetB1 as EfficientNetB1
from .models.efficientnet import EfficientNetB2 as EfficientNetB2
from .models.efficientnet import EfficientNetB3 as EfficientNetB3
from .models.efficientnet import EfficientNetB4 as EfficientNetB4
from .models.efficientnet import EfficientNetB5 as EfficientNetB5
from .models.efficientnet import EfficientNetB6 as EfficientNetB6
from .models.efficientnet import EfficientNetB7 as EfficientNetB7
from .models.efficientnet import EfficientNetLite0 as EfficientNetLite0
from .models.efficientnet import EfficientNetLite1 as EfficientNetLite1
from .models.efficientnet import EfficientNetLite2 as EfficientNetLite2
from .models.efficientnet import EfficientNetLite3 as EfficientNetLite3
from .models.efficientnet import EfficientNetLite4 as EfficientNetLite4
from .models.efficientnet_v2 import EfficientNetV2B0 as EfficientNetV2B0
from .models.efficientnet_v2 import EfficientNetV2B1 as EfficientNetV2B1
from .models.efficientnet_v2 import EfficientNetV2B2 as EfficientNetV2B2
from .models.efficientnet_v2 import EfficientNetV2B3 as EfficientNetV2B3
from .models.efficientnet_v2 import EfficientNetV2S as EfficientNetV2S
from .models.efficientnet_v2 import EfficientNetV2M as EfficientNetV2M
from .models.efficientnet_v2 import EfficientNetV2L as EfficientNetV2L
from .models.resnet import ResNet18 as ResNet18
from .models.resnet import ResNet50 as ResNet50
from .models.standard_convnet import StandardConvNet as StandardConvNet
from .models.vgg import VGG16 as VGG16
from .models.mobilenet_v4 import MobileNetV4ConvSmall as MobileNetV4ConvSmall
from .models.mobilenet_v4 import MobileNetV4ConvMedium as MobileNetV4ConvMedium
from .models.mobilenet_v4 import MobileNetV4ConvLarge as MobileNetV4ConvLarge
from .models.mobilenet_v4 import MobileNetV4HybridMedium as MobileNetV4HybridMedium
from .models.mobilenet_v4 import MobileNetV4HybridLarge as MobileNetV4HybridLarge
from .models.shufflenet_v1 import ShuffleNetV1 as ShuffleNetV1
from .models.shufflenet_v2 import ShuffleNetV2 as ShuffleNetV2
from .costs.latencies import published_latency as published_latency
from .costs.model_cost import Cost as Cost
from .costs.model_cost import cost as cost
from .costs.published import reference as reference
from .errors import UserError as UserError
from .models.catalog import create_model as create_model
from .models.catalog import list_models as list_models
from .models.torch_names import from_torch as from_torch
from .graphs.feature_maps import features as features
from .pixels.scaling import preprocess_input as preprocess_input
from .weights.imagenet_classes import decode_predictions as decode_predictions
from .weights.keras_files import load_weights as load_weights

__version__: str
