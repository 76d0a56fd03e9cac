"""The models of timm and torchvision by their names: the builder and its arguments, with the PyTorch weights loaded.

A PyTorch model of these families differs from its builder in padding and epsilon only (`adapted`); timm's `tf_` models
have TensorFlow's.
"""

import re
from collections.abc import Mapping
from typing import Any

import keras

from keras_mobilenets.errors import UserError, unknown
from keras_mobilenets.models.catalog import builder_named, create_model, list_models
from keras_mobilenets.weights import pytorch
from keras_mobilenets.weights.adapt import adapted
from keras_mobilenets.weights.checkpoints import state_dict
from keras_mobilenets.weights.tensor_names import natural

EPSILON = 1e-5
# Those of torchvision's models that were converted from TensorFlow or trained like it.
TORCHVISION_EPSILON_1E3 = re.compile("MobileNetV3|EfficientNetV2|EfficientNetB[567]")


def from_torch(name: str, state: Any, **overrides: Any) -> keras.Model:
    """Builds the Keras model of a PyTorch model and loads its weights.

    Args:
        name: Name of the model in timm or torchvision, such as "mobilenetv2_100" or "mobilenet_v3_large".
        state: Its weights: path of a `.safetensors` file or of one that `torch.save` wrote (`.pth`, `.pt`, `.bin`,
            `.ckpt`; read without unpickling, so that it cannot run code); {name of the tensor: array}; a PyTorch
            module; or the id of a repository on the Hugging Face hub, such as "timm/mobilenetv2_100.ra_in1k" (needs
            the package huggingface_hub). The state dictionary is found in a training's checkpoint, the averaged one
            first, and without the prefixes of DataParallel, torch.compile, EMA or Lightning.
        **overrides: Arguments for the builder. Without them the model takes images of any size (of its default size if
            it must know it), ends in logits, and has as many classes as the weights.

    Returns:
        The Keras model, with the padding and the epsilons of PyTorch: images in [−1, 1] to logits. timm's and
        torchvision's own preprocessing may scale the images otherwise; the weights decide.

    Raises:
        UserError: There is no builder for the name, the weights cannot be read, or they do not fit; the message names
            the tensors that are missing, too many, or of another shape.
    """
    arrays = state_dict.read(state)
    plain = name.split("/")[-1].split(".")[0]  # of the hub's "timm/mobilenetv2_100.ra_in1k" too
    arguments = _arguments(plain, arrays) | overrides
    model = create_model(arguments.pop("builder"), **arguments)
    if not plain.startswith("tf_"):
        torchvision = any(tensor.startswith("features.") for tensor in arrays)
        large = torchvision and TORCHVISION_EPSILON_1E3.match(model.variant[0])
        model = adapted(model, symmetric=True, epsilon=1e-3 if large else EPSILON)
    try:
        pytorch.fill(model, arrays, top=arguments.get("include_top", True))
    except ValueError as error:
        raise UserError(f"the weights do not fit {name}: {error}") from error
    return model


def _arguments(name: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The builder of a name and its arguments: "tf_mobilenetv3_large_minimal_100" says all of them."""
    match = re.fullmatch(r"(tf_)?(?P<words>\w+?)(?P<minimal>_minimal)?(_(?P<percent>\d{3}))?", name)
    builders = {builder.lower(): builder for builder in list_models()}
    builder = builders.get(match["words"].replace("_", "")) if match else None
    if match is None or builder is None:
        raise unknown("PyTorch model", name, list(builders.values()), "keras-mobilenets models")
    arguments: dict[str, Any] = {"builder": builder, "classifier_activation": None}
    if builder_named(builder).any_size:
        arguments["input_shape"] = (None, None, 3)
    if match["percent"]:
        arguments["alpha"] = int(match["percent"]) / 100
    if match["minimal"]:
        arguments["minimalistic"] = True
    last = max((n for n in arrays if re.match(r"(classifier|fc|head)\..*bias|fc\.bias", n)), key=natural, default="")
    weight = arrays.get(last.replace("bias", "weight"))
    if weight is not None and weight.shape[0] == arrays[last].shape[0]:
        arguments["classes"] = int(weight.shape[0])
    return arguments
