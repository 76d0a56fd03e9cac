"""PyTorch weights of timm and torchvision: the builder by the model's name, the tensors by their modules' names.

A PyTorch model of these families differs from its builder in padding and epsilon only (`adapted`); timm's `tf_` models
have TensorFlow's. Tensors are never unpickled: they come from `.safetensors` or as arrays.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

import keras_mobilenets
from keras_mobilenets.errors import UserError, first_line, unknown
from keras_mobilenets.weights.adapt import adapted
from keras_mobilenets.weights.keras_files import check_names, natural

EPSILON = 1e-5
# Those of torchvision's models that were converted from TensorFlow or trained like it.
TORCHVISION_EPSILON_1E3 = re.compile("MobileNetV3|EfficientNetV2|EfficientNetB[567]")
# Modules behind the last feature map.
TOP = re.compile(r"(classifier|fc|head|pre_logits|conv_head|norm_head)\.")

# What timm calls the convolutions of an inverted residual, ...
TIMM_ROLES = {
    "expand": "conv_pw",
    "depthwise": "conv_dw",
    "pointwise": "conv_pw",
    "fused": "conv_exp",
    "project": "conv_pwl",
}
# ... of a universal inverted bottleneck, ...
TIMM_UNIVERSAL = {"start_depthwise": "dw_start", "expand": "pw_exp", "depthwise": "dw_mid", "project": "pw_proj"}
# ... and of multi-query attention.
TIMM_ATTENTION = {
    "query": "query.proj",
    "key_depthwise": "key.down_conv",
    "key_depthwise_bn": "key.norm",
    "key": "key.proj",
    "value_depthwise": "value.down_conv",
    "value_depthwise_bn": "value.norm",
    "value": "value.proj",
    "project": "output.proj",
}


def from_torch(name: str, state: Any, **overrides: Any) -> keras.Model:
    """Builds the Keras model of a PyTorch model and loads its weights.

    Args:
        name: Name of the model in timm or torchvision, such as "mobilenetv2_100" or "mobilenet_v3_large".
        state: Its weights: path of a `.safetensors` file, {name of the tensor: array}, or the id of a repository on
            the Hugging Face hub, such as "timm/mobilenetv2_100.ra_in1k" (needs the package huggingface_hub).
        **overrides: Arguments for the builder. Without them the model takes images of any size (of its default size if
            it must know it), ends in logits, and has as many classes as the weights.

    Returns:
        The Keras model, with the padding and the epsilons of PyTorch: images in [−1, 1] to logits. timm's and
        torchvision's own preprocessing may scale the images otherwise; the weights decide.

    Raises:
        UserError: There is no builder for the name, the weights cannot be read, or they do not fit; the message names
            the tensors that are missing, too many, or of another shape.
    """
    arrays = _read(state)
    plain = name.split("/")[-1].split(".")[0]  # of the hub's "timm/mobilenetv2_100.ra_in1k" too
    arguments = _arguments(plain, arrays) | overrides
    model = keras_mobilenets.create_model(arguments.pop("builder"), **arguments)
    if not plain.startswith("tf_"):
        torchvision = any(tensor.startswith("features.") for tensor in arrays)
        large = torchvision and TORCHVISION_EPSILON_1E3.match(model.variant[0])
        model = adapted(model, symmetric=True, epsilon=1e-3 if large else EPSILON)
    try:
        _fill(model, arrays, top=arguments.get("include_top", True))
    except ValueError as error:
        raise UserError(f"the weights do not fit {name}: {error}") from error
    return model


def _arguments(name: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The builder of a name and its arguments: "tf_mobilenetv3_large_minimal_100" says all of them."""
    match = re.fullmatch(r"(tf_)?(?P<words>\w+?)(?P<minimal>_minimal)?(_(?P<percent>\d{3}))?", name)
    builders = {builder.lower(): builder for builder in keras_mobilenets.list_models()}
    builder = builders.get(match["words"].replace("_", "")) if match else None
    if match is None or builder is None:
        raise unknown("PyTorch model", name, list(builders.values()), "keras-mobilenets models")
    arguments: dict[str, Any] = {"builder": builder, "classifier_activation": None}
    if getattr(keras_mobilenets, builder).any_size:
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


def _read(state: Any) -> dict[str, np.ndarray]:
    if isinstance(state, Mapping):
        return {name: _array(name, value) for name, value in state.items() if not name.endswith("num_batches_tracked")}
    if not isinstance(state, str | Path):
        raise UserError(f"weights of type {type(state).__name__}: give a .safetensors file, a dictionary, or a hub id")
    path = Path(state)
    if path.suffix in (".pt", ".pth", ".bin", ".tar", ".pkl"):
        raise UserError(
            f"{path} may be pickled and run code when read: convert it in a Python with PyTorch, by "
            'safetensors.torch.save_file(torch.load(path, weights_only=True), "model.safetensors")'
        )
    if path.suffix != ".safetensors" and not path.exists() and re.fullmatch(r"[\w.-]+/[\w.-]+", str(state)):
        path = _download(str(state))
    if not path.is_file():
        raise UserError(f"no file {path}: give the path of a .safetensors file, a dictionary, or a hub id")
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return _read(load_file(path))
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise UserError(f"{path} is not a whole .safetensors file: {error}") from error


def _download(repository: str) -> Path:
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise UserError(f"to fetch {repository} from the hub: pip install huggingface_hub") from error
    try:
        return Path(hf_hub_download(repository, "model.safetensors"))
    except Exception as error:  # offline, unknown, without access: each has its kind
        raise UserError(f"cannot fetch model.safetensors of {repository}: {first_line(error)}") from error


def _array(name: str, value: Any) -> np.ndarray:
    """An array of what may be a PyTorch tensor with a gradient, on any device."""
    try:
        return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value, np.float32)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{name} is no array of numbers, but {type(value).__name__}: give model.state_dict()"
        ) from error


def _fill(model: keras.Model, arrays: dict[str, np.ndarray], top: bool) -> None:
    """Writes every tensor into its weight.

    Raises:
        ValueError: Names or shapes differ; says which.
    """
    modules = dict(_modules(model, arrays))
    targets = {
        f"{modules[layer.name]}.{leaf}": (layer, weight)
        for layer in model.layers
        for leaf, weight in zip(_leaves(layer), layer.weights, strict=True)
    }
    extra = {name for name in arrays.keys() - targets.keys() if top or not TOP.match(name)}
    shapes = {}
    for name in targets.keys() & arrays.keys():
        needs, has = _torch_shape(*targets[name]), arrays[name].shape
        same_size = isinstance(targets[name][0], layers.Dense) and has[:1] + (int(np.prod(has[1:])),) == needs
        shapes[name] = (needs if same_size else has, needs)
    check_names(targets.keys() - arrays.keys(), extra, shapes)
    for name, (layer, weight) in targets.items():
        weight.assign(_keras_layout(model, layer, weight, arrays[name]))


def _leaves(layer: Any) -> list[str]:
    """What PyTorch calls the weights of a layer, in the order of Keras."""
    if isinstance(layer, layers.BatchNormalization):
        return ["weight", "bias", "running_mean", "running_var"]
    if layer.name.endswith("_scale"):
        return ["gamma"][: len(layer.weights)]
    return ["weight", "bias"][: len(layer.weights)]


def _torch_shape(layer: Any, weight: Any) -> tuple[int, ...]:
    shape = tuple(weight.shape)
    if layer.name.endswith("_scale"):
        return shape[2:3]
    if len(shape) < 4:
        return shape[::-1]
    height, width, inputs, filters = shape
    return (inputs, filters, height, width) if _is_depthwise(layer) else (filters, inputs, height, width)


def _keras_layout(model: keras.Model, layer: Any, weight: Any, array: np.ndarray) -> np.ndarray:
    if array.ndim == 1:
        return array.reshape(weight.shape)
    if len(weight.shape) == 4:
        return array.transpose((2, 3, 0, 1) if _is_depthwise(layer) else (2, 3, 1, 0))
    if len(weight.shape) == 2:
        before = [other for other in model.layers if isinstance(other, layers.Flatten)]
        if before and layer.input is before[0].output:  # PyTorch flattens channels first
            height, width, channels = before[0].input.shape[1:]
            array = array.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
        return array.reshape(len(array), -1).T
    return array


def _is_depthwise(layer: Any) -> bool:
    return isinstance(layer, layers.DepthwiseConv2D)


def _modules(model: keras.Model, arrays: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """For every layer with weights the PyTorch module: (layer, module)."""
    names = [layer.name for layer in model.layers if layer.weights]
    if any(name.startswith("layer1.") for name in arrays):
        dialect = _resnet
    elif any(re.match(r"features\.\d+\.(weight|bias)", name) for name in arrays):
        return _vgg(model, arrays)
    elif any(name.startswith("features.") for name in arrays):
        dialect = _torchvision
    elif any(name.startswith("blocks.") for name in arrays):
        dialect = _timm
    else:
        raise ValueError(f"they have no names of timm or torchvision: {', '.join(sorted(arrays)[:3]) or 'none at all'}")
    return dialect(names, arrays)


def _blocks(names: list[str]) -> dict[str, list[str]]:
    """The blocks in order, each with the roles of its layers: block_3 has expand, depthwise, se_reduce, ..."""
    blocks: dict[str, list[str]] = {}
    for name in names:
        match = re.fullmatch(r"(block_\d+)_(.+)", name)
        if match and not name.endswith("_bn"):
            blocks.setdefault(match[1], []).append(match[2])
    return dict(sorted(blocks.items(), key=lambda item: natural(item[0])))


def _prefixes(pattern: str, arrays: Mapping[str, Any], count: int) -> list[str]:
    """The PyTorch blocks in order; those that the weights lack are numbered on from the last."""
    found = sorted({match[0] for name in arrays if (match := re.match(pattern, name))}, key=natural)[:count]
    while len(found) < count:
        stem, _, number = (found[-1] if found else "blocks.-1").rpartition(".")
        found.append(f"{stem}.{int(number) + 1}")
    return found


def _timm(names: list[str], arrays: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    blocks = _blocks(names)
    cut = "hidden" in names  # the head is a block of its own where another convolution follows the pooling
    prefixes = _prefixes(r"blocks\.\d+\.\d+", arrays, len(blocks) + cut)
    universal = any(".pw_exp." in name for name in arrays)
    for (block, roles), prefix in zip(blocks.items(), prefixes, strict=False):
        inside = _timm_attention() if "query" in roles else _timm_block(roles, universal and "expand" in roles)
        yield from ((f"{block}_{role}", f"{prefix}.{module}") for role, module in inside)
    yield from (("stem", "conv_stem"), ("stem_bn", "bn1"), ("predictions", "classifier"))
    yield from (("hidden", "conv_head"), ("hidden_bn", "norm_head"))
    yield "head", f"{prefixes[-1]}.conv" if cut else "conv_head"
    yield "head_bn", f"{prefixes[-1]}.bn1" if cut else "bn2"


def _timm_attention() -> Iterator[tuple[str, str]]:
    yield from ((role, f"attn.{module}") for role, module in TIMM_ATTENTION.items())
    yield from (("input_bn", "norm"), ("scale", "layer_scale"))


def _timm_block(roles: list[str], universal: bool) -> Iterator[tuple[str, str]]:
    """The modules of a block: its normalizations are numbered, except a universal one's."""
    number = 0
    for role in roles:
        if role == "scale":
            yield role, "layer_scale"
        elif role.startswith("se_"):
            yield role, role.replace("se_", "se.conv_")
        elif universal:
            yield role, f"{TIMM_UNIVERSAL[role]}.conv"
            yield f"{role}_bn", f"{TIMM_UNIVERSAL[role]}.bn"
        else:
            number += 1
            second = role == "project" and roles[0] == "depthwise"  # of a depthwise separable block
            yield role, "conv" if len(roles) == 1 else "conv_pw" if second else TIMM_ROLES[role]
            yield f"{role}_bn", f"bn{number}"


def _torchvision(names: list[str], arrays: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    blocks = _blocks(names)
    prefixes = _prefixes(r"features\.\d+\.(\d+\.)?(conv|block)(?=\.)", arrays, len(blocks))
    for (block, roles), prefix in zip(blocks.items(), prefixes, strict=True):
        index = 0
        for role in roles:
            if role == "se_expand":
                yield f"{block}_{role}", f"{prefix}.{index - 1}.fc2"
                continue
            bare = role == "project" and prefix.endswith(".conv")  # MobileNetV2's is not in a module of its own
            if role == "se_reduce":
                yield f"{block}_{role}", f"{prefix}.{index}.fc1"
            else:
                yield f"{block}_{role}", f"{prefix}.{index}" + ("" if bare else ".0")
                yield f"{block}_{role}_bn", f"{prefix}.{index + 1}" if bare else f"{prefix}.{index}.1"
            index += 1
    head = f"features.{int(prefixes[-1].split('.')[1]) + 1}"
    yield from (("stem", "features.0.0"), ("stem_bn", "features.0.1"), ("head", f"{head}.0"), ("head_bn", f"{head}.1"))
    yield from (("hidden", "classifier.0"), ("predictions", "classifier.3" if "hidden" in names else "classifier.1"))


def _resnet(names: list[str], arrays: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    blocks = _blocks(names)
    for (block, roles), prefix in zip(blocks.items(), _prefixes(r"layer\d+\.\d+", arrays, len(blocks)), strict=True):
        for role in roles:
            shortcut = role == "shortcut"
            yield f"{block}_{role}", f"{prefix}.downsample.0" if shortcut else f"{prefix}.{role.replace('_', '')}"
            yield (
                f"{block}_{role}_bn",
                f"{prefix}.downsample.1" if shortcut else f"{prefix}.{role.replace('conv_', 'bn')}",
            )
    yield from (("stem", "conv1"), ("stem_bn", "bn1"), ("predictions", "fc"))


def _vgg(model: keras.Model, arrays: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The convolutions stand in one sequence with their ReLUs and the poolings."""
    index = 0
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D):
            yield layer.name, f"features.{index}"
            index += 2
        elif isinstance(layer, layers.MaxPooling2D):
            index += 1
    timm = any(name.startswith("pre_logits.") for name in arrays)
    yield "hidden_1", "pre_logits.fc1" if timm else "classifier.0"
    yield "hidden_2", "pre_logits.fc2" if timm else "classifier.3"
    yield "predictions", "head.fc" if timm else "classifier.6"
