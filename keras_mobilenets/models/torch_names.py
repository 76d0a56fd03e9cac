"""The models of timm and torchvision by their names: the builder and its arguments, with the PyTorch weights loaded.

A PyTorch model of these families differs from its builder in padding and epsilon only (`adapted`); timm's `tf_` models
have TensorFlow's.
"""

import inspect
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_mobilenets.errors import UserError, unknown
from keras_mobilenets.graphs.reparameterization import reparameterized
from keras_mobilenets.models.catalog import builder_named, create_model, list_models
from keras_mobilenets.models.hybrids import mobileclip
from keras_mobilenets.pixels import scaling as pixel_scaling
from keras_mobilenets.weights import folded_branches, pytorch, torch_models, towers
from keras_mobilenets.weights.adaptation import adapted
from keras_mobilenets.weights.checkpoints import state_dict
from keras_mobilenets.weights.dialects import ssdlite
from keras_mobilenets.weights.tensor_names import natural

EPSILON = 1e-5
# Those of torchvision's models that were converted from TensorFlow or trained like it.
TORCHVISION_EPSILON_1E3 = re.compile("(SSDLite)?MobileNetV3|EfficientNetV2|EfficientNetB[567]")

# Underscores aside, the words are the builder's name: "mobilenetv2_100", "regnet_x_1_6gf", "shufflenet_v1_g3_x1_0".
_NAME = re.compile(
    r"(tf_)?(?P<words>\w+?)(?P<minimal>_minimal)?(?P<overlapping>_ols)?(_g(?P<groups>\d+))?(_x(?P<width>\d(_\d+)?))?(_(?P<percent>\d{3}))?"
    r"(?P<torchvision>_tv)?"
)
# Names that say the same in other words than their builder's.
_OTHER_WORDS = (
    (r"^regnet([xy])_00(\d)(?=_tv$|$)", r"regnet_\1_\g<2>00mf"),
    (r"^regnet([xy])_0?(\d+)0(?=_tv$|$)", r"regnet_\1_\2gf"),
    (r"^regnet([xy])_0(\d)(\d)(?=_tv$|$)", r"regnet_\1_\2_\3gf"),
    (r"^legacy_", ""),
    (r"^ssdlite320_", "ssdlite_"),
    (r"^mobileclip2?_s([012])$", r"fastvit_mci\1"),
)
_TEXT_TOWER = re.compile(r"mobileclip2?_\w+_text")


def from_torch(name: str, state: Any, *, pixels: Any = None, **overrides: Any) -> keras.Model:
    """Builds the Keras model of a PyTorch model and loads its weights.

    From a file or the hub, the model takes images in [−1, 1] as every other of this package: a layer `scaling` makes of
    them what the weights were trained on, by the mean and standard deviation that torchvision and timm publish for the
    name. From a dictionary in memory it is the network alone, as in PyTorch: its images are scaled by mean and standard
    deviation, and its input is called `imagenet_pixels`, by which `convert`, `evaluate` and all others know it.

    Args:
        name: Name of the model in timm or torchvision, such as "mobilenetv2_100" or "mobilenet_v3_large", in any case,
            with the prefix of the hub and the tag of the weights or without them. Of a CLIP, whose weights hold two
            networks, "mobileclip_s0" is the image tower and "mobileclip_s0_text" the text tower.
        state: Its weights: path of a `.safetensors` file or of one that `torch.save` wrote (`.pth`, `.pt`, `.bin`,
            `.ckpt`; read without unpickling, so that it cannot run code); {name of the tensor: array}; a PyTorch
            module; or the id of a repository on the Hugging Face hub, such as "timm/mobilenetv2_100.ra_in1k" (needs
            the package huggingface_hub). The state dictionary is found in a training's checkpoint, the averaged one
            first, and without the prefixes of DataParallel, torch.compile, EMA or Lightning.
        pixels: What the weights were trained on, where it is not what is published: "imagenet", "-1..1", "0..1",
            "0..255", or a pair (mean, standard deviation), in pixels or in shares of 255. The scaling is then inside.
        **overrides: Arguments for the builder. Without them the model takes images of any size (of its default size if
            it must know it), ends in logits, and has as many classes as the weights.

    Returns:
        The Keras model, with the padding and the epsilons of PyTorch: images to logits; of a CLIP, images or int32
        tokens to vectors for `zero_shot`. Weights whose branches were folded before they were saved give the network
        that `reparameterized` gives.

    Raises:
        UserError: There is no builder for the name, the weights cannot be read, or they do not fit; the message names
            the tensors that are missing, too many, or of another shape.
    """
    arrays = state_dict.read(state)
    plain, tag = torch_models.parsed(name)
    if _TEXT_TOWER.fullmatch(plain):
        return _text_tower(name, towers.text_tower(arrays), overrides)
    arrays = dict(towers.image_tower(arrays))
    if not tag and isinstance(state, str | Path):
        tag = torch_models.parsed(str(state))[1]
    arguments = _arguments(plain, arrays) | overrides
    model = create_model(arguments.pop("builder"), **arguments)
    library = _library(arrays)
    differences: dict[str, Any] = {}
    if not plain.startswith("tf_"):
        large = library == "torchvision" and TORCHVISION_EPSILON_1E3.match(model.variant[0])
        differences = {"symmetric": True, "epsilon": 1e-3 if large else EPSILON}
    trained_on, ambiguity = torch_models.published_pixels(plain, tag, library)
    channels = model.input_shape[-1]
    if pixels is None and not isinstance(state, str | Path):
        differences |= _named_input(trained_on, channels)
    else:
        if ambiguity and pixels is None:
            warnings.warn(ambiguity, pixel_scaling.PixelWarning, stacklevel=2)
        differences |= _scaling(trained_on if pixels is None else pixels, channels)
    if differences:
        model = adapted(model, **differences)
    try:
        pytorch.fill(model, arrays, top=arguments.get("include_top", True))
    except ValueError as error:
        raise UserError(f"the weights do not fit {name}: {error}{torch_models.fitting(arrays, plain)}") from error
    if library == "megvii" and isinstance(state, str | Path):
        stem = model.get_layer("stem")
        stem.kernel.assign(stem.kernel[:, :, ::-1])  # blue came first in training
    return reparameterized(model) if folded_branches.are_folded(arrays) else model


def _text_tower(name: str, arrays: Mapping[str, Any], overrides: dict[str, Any]) -> keras.Model:
    """The text tower of these weights, whose shapes say its arguments."""
    if not arrays:
        raise UserError(f"the weights do not fit {name}: they have no text tower, text.* or text_encoder.*")
    try:
        arguments = mobileclip.arguments_of(arrays)
    except KeyError as error:
        raise UserError(f"the weights do not fit {name}: missing: {error.args[0]}") from error
    model = adapted(mobileclip.text_tower(**arguments | overrides), epsilon=EPSILON)
    try:
        pytorch.fill(model, dict(arrays), top=True)
    except ValueError as error:
        raise UserError(f"the weights do not fit {name}: {error}") from error
    return reparameterized(model) if folded_branches.are_folded(arrays) else model


def _library(arrays: Mapping[str, Any]) -> str:
    """Whose weights these are, by their names: "timm", "torchvision" or "megvii" (ShuffleNet-Series)."""
    if any(re.search(r"\.branch_main(_1)?\.", tensor) for tensor in arrays):
        return "megvii"
    torchvision = any(t.startswith(("features.", "trunk_output.")) or ".branch2." in t for t in arrays)
    return "torchvision" if torchvision else "timm"


def default_size(name: str) -> int:
    """The side of the images, in pixels, that a PyTorch model's paper has.

    Raises:
        UserError: There is no builder for the name.
    """
    size: int = builder_named(_arguments(torch_models.parsed(name)[0], {})["builder"]).default_size
    return size


def _named_input(trained_on: str, channels: int) -> dict[str, Any]:
    """What lets the network alone tell what its pixels are, as an argument of `adapted`."""
    name = next((name for name, pixels in pixel_scaling.INPUT_NAMES.items() if pixels == trained_on), None)
    return {"input_name": name} if name and len(pixel_scaling.said(trained_on).mean) in (1, channels) else {}


def _scaling(trained_on: Any, channels: int) -> dict[str, Any]:
    """What makes of images in [−1, 1] those that weights were trained on, as an argument of `adapted`."""
    scaling = pixel_scaling.said(trained_on)
    if len(scaling.mean) not in (1, channels):
        raise UserError(
            f'{scaling} is of 3 channels, the model\'s images have {channels}: say pixels=, such as "-1..1"'
        )
    mean, std = np.array(scaling.mean), np.array(scaling.std)
    factors, offsets = 127.5 / std, (127.5 - mean) / std
    return {"scaling": (factors.tolist(), offsets.tolist())} if (factors != 1).any() or offsets.any() else {}


def _arguments(name: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The builder of a name and its arguments: "tf_mobilenetv3_large_minimal_100" says all of them."""
    match = _NAME.fullmatch(_renamed(name))
    builders = {_joined(builder.lower()): builder for builder in list_models()}
    builder = builders.get(_joined(match["words"])) if match else None
    build = builder_named(builder) if builder else None
    if match is None or build is None or (build.width is None and (match["percent"] or match["width"])):
        raise unknown("PyTorch model", name, torch_models.names(), "help(keras_mobilenets.from_torch)")
    if build.task == "detection":
        found = {"classes": ssdlite.classes(arrays)} if ssdlite.matches(arrays) else {}
        return {"builder": build.__name__} | found
    arguments: dict[str, Any] = {"builder": build.__name__, "classifier_activation": None}
    if build.any_size:
        arguments["input_shape"] = (None, None, 3)
    if match["percent"]:
        arguments[build.width] = int(match["percent"]) / 100
    if match["width"]:
        arguments[build.width] = float(match["width"].replace("_", "."))
    if match["groups"]:
        arguments["groups"] = int(match["groups"])
    if match["minimal"]:
        arguments["minimalistic"] = True
    if match["overlapping"]:
        arguments["overlapping_stem"] = True
    torchvision = match["torchvision"] or _library(arrays) == "torchvision"
    if torchvision and "torchvision_widths" in inspect.signature(build).parameters:
        arguments["torchvision_widths"] = True
    if _library(arrays) == "megvii" and "reference_units" in inspect.signature(build).parameters:
        arguments["reference_units"] = True
    classifiers = [n for n in arrays if re.match(r"(classifier|fc|head)\..*weight|fc\.weight", n)]
    last = max((n for n in classifiers if arrays[n].ndim > 1), key=natural, default="")
    bias = arrays.get(re.sub("weight$", "bias", last))
    if last and (bias is None or len(bias) == len(arrays[last])):
        arguments["classes"] = int(arrays[last].shape[0])
    return arguments


def _joined(words: str) -> str:
    """Without the underscores that separate words; the one in 1_6 is a decimal point."""
    return re.sub(r"(?<!\d)_|_(?!\d)", "", words)


def _renamed(name: str) -> str:
    """A name whose words are those of the builder."""
    for pattern, replacement in _OTHER_WORDS:
        name = re.sub(pattern, replacement, name)
    return name
