"""ConvNeXt of timm, torchvision and its authors (facebookresearch/ConvNeXt), and WTConvNeXt of BGU-CS-VIL/WTConv."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from keras_mobilenets.blocks.families.wavelet import BANDS
from keras_mobilenets.weights.dialects.blocks import matched_blocks, weighted

# What timm calls the layers of a block.
ROLES = {"depthwise": "conv_dw", "norm": "norm", "expand": "mlp.fc1", "project": "mlp.fc2", "scale": ""}
# The other libraries' names in timm's words.
_TIMM_WORDS = (
    (r"^features\.0\.", "stem."),
    (r"^features\.(\d+)\.(\d+)\.(?=block|layer_scale)", lambda m: f"stages.{int(m[1]) // 2}.blocks.{m[2]}."),
    (r"^features\.(\d+)\.(\d)\.", lambda m: f"stages.{int(m[1]) // 2}.downsample.{m[2]}."),
    (r"\.block\.0\.", ".conv_dw."),
    (r"\.block\.2\.", ".norm."),
    (r"\.block\.3\.", ".mlp.fc1."),
    (r"\.block\.5\.", ".mlp.fc2."),
    (r"\.layer_scale$", ".gamma"),
    (r"^classifier\.0\.", "head.norm."),
    (r"^classifier\.2\.", "head.fc."),
    (r"^downsample_layers\.0\.", "stem."),
    (r"^downsample_layers\.(\d)\.", r"stages.\1.downsample."),
    (r"^stages\.(\d)\.(\d+)\.", r"stages.\1.blocks.\2."),
    (r"\.dwconv\.", ".conv_dw."),
    (r"\.pwconv(\d)\.", r".mlp.fc\1."),
    (r"^norm\.", "head.norm."),
    (r"^head\.(weight|bias)$", r"head.fc.\1"),
    (r"\.base_scale\.weight$", ".base_scale.gamma"),
)
_FIXED = re.compile(r".*\.(wt_filter|iwt_filter|stride_filter)")


def matches(arrays: Mapping[str, Any]) -> bool:
    """Whether these tensors have the names of this dialect."""
    pattern = r"stages\.\d+\.(blocks\.)?\d+\.(conv_dw|dwconv)\.|features\.\d+\.\d+\.layer_scale$"
    return any(re.match(pattern, name) for name in arrays)


def tensors(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors by timm's names: linear layers as 1×1 convolutions, each band of a wavelet by itself.

    The fixed filters of the wavelet transform are left out.
    """
    result: dict[str, Any] = {}
    for name, array in arrays.items():
        for pattern, replacement in _TIMM_WORDS:
            name = re.sub(pattern, replacement, name)
        if wavelet := re.fullmatch(r"(.+\.)wavelet_(convs|scale)\.(\d+)\.weight", name):
            before, kind, level = wavelet.groups()
            values = array if kind == "convs" else np.reshape(array, -1)
            leaf = "weight" if kind == "convs" else "gamma"
            for place, band in enumerate(BANDS):  # the bands of a channel stand side by side
                result[f"{before}{level}.{band}.{leaf}"] = values[place :: len(BANDS)]
        elif name.endswith(".gamma"):
            result[name] = np.reshape(array, -1)
        elif not _FIXED.fullmatch(name):
            result[name] = array[:, :, None, None] if ".mlp." in name and array.ndim == 2 else array
    return result


def modules(model: keras.Model, arrays: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """For every layer with weights its module, in timm's words: (layer, module)."""
    for block, roles, prefix in matched_blocks(model, arrays, r"stages\.\d+\.blocks\.\d+"):
        for role in roles:
            if not role.endswith("_haar"):
                yield f"{block}_{role}", f"{prefix}.{_module(role)}".rstrip(".")
    for stage in (1, 2, 3):
        yield f"downsample_{stage}_norm", f"stages.{stage}.downsample.0"
        yield f"downsample_{stage}", f"stages.{stage}.downsample.1"
    stem = ("stem", "stem_2", "stem_norm") if "stem_2" in weighted(model) else ("stem", "stem_norm")
    yield from ((name, f"stem.{place}") for place, name in enumerate(stem))
    yield from (("head_norm", "head.norm"), ("predictions", "head.fc"))


def _module(role: str) -> str:
    """The module of a layer inside a block."""
    if wavelet := re.fullmatch(r"depthwise_(\d+)_(ll|lh|hl|hh)(_scale)?", role):
        return f"conv_dw.{int(wavelet[1]) - 1}.{wavelet[2]}"
    return {"depthwise_base": "conv_dw.base_conv", "depthwise_base_scale": "conv_dw.base_scale"}.get(role) or ROLES[
        role
    ]
