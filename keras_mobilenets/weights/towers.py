"""The two towers of a CLIP checkpoint, image and text, by the names of timm and of open_clip.

open_clip keeps them as `visual.trunk.*` and `text.*`, Apple's MobileCLIP as `image_encoder.model.*` and
`text_encoder.*` with names of its own for the modules inside.
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np

Arrays = Mapping[str, np.ndarray]

_IMAGE = ("visual.trunk.", "image_encoder.model.")
_TEXT = ("text.", "text_encoder.")
_FASTVIT = (
    (r"^patch_embed\.", "stem."),
    (r"^conv_exp\.", "final_conv."),
    (r"\brbr_conv\b", "conv_kxk"),
    (r"\brbr_scale\b", "conv_scale"),
    (r"\brbr_skip\b", "identity"),
    (r"\blkb_origin\b", "large_conv"),
    (r"\blkb_reparam\b", "reparam_conv"),
    (r"\bconvffn\b", "mlp"),
    (r"\bse\.reduce\b", "se.fc1"),
    (r"\bse\.expand\b", "se.fc2"),
    (r"\b(layer_scale(_\d)?)$", r"\1.gamma"),
)
_TRANSFORMER = (
    (r"^transformer\.(?!resblocks\.)", "transformer.resblocks."),
    (r"^embedding_layer\.", "token_embedding."),
    (r"^positional_embedding\.pos_embed\.pos_embed$", "positional_embedding"),
    (r"^final_layer_norm\.", "ln_final."),
    (r"^projection_layer$", "text_projection"),
    (r"\bpre_norm_mha\.0\b", "ln_1"),
    (r"\bpre_norm_mha\.1\.qkv_proj\b", "attn.qkv"),
    (r"\battn\.in_proj_", "attn.qkv."),
    (r"\bpre_norm_mha\.1\b", "attn"),
    (r"\bpre_norm_ffn\.0\b", "ln_2"),
    (r"\bpre_norm_ffn\.1\b", "mlp.c_fc"),
    (r"\bpre_norm_ffn\.4\b", "mlp.c_proj"),
)


def image_tower(arrays: Arrays) -> Arrays:
    """The tensors of the image tower as timm calls them; those of a network that is no CLIP as they are."""
    arrays = _of(arrays, _IMAGE) or arrays
    if not any(name.startswith(("patch_embed.0.rbr_", "patch_embed.0.reparam_conv.")) for name in arrays):
        return arrays
    halvings = sorted({int(match[1]) for name in arrays if (match := re.match(r"network\.(\d+)\.proj\.", name))})
    found = {_staged(_renamed(name, _FASTVIT), halvings): array for name, array in arrays.items()}
    if "head.proj" in found:
        weights = found.pop("head.proj")
        found |= {"head.fc.weight": weights.T, "head.fc.bias": np.zeros(weights.shape[1], np.float32)}
    return {re.sub(r"^head\.(?!fc\.)", "head.fc.", name): array for name, array in found.items()}


def text_tower(arrays: Arrays) -> Arrays:
    """The tensors of the text tower as open_clip calls them, `qkv` for query, key and value; none without one."""
    found = _of(arrays, _TEXT) or (arrays if "token_embedding.weight" in arrays else {})
    return {_renamed(name, (*_FASTVIT, *_TRANSFORMER)): array for name, array in found.items()}


def _of(arrays: Arrays, prefixes: Sequence[str]) -> dict[str, np.ndarray]:
    return {
        name.removeprefix(prefix): array
        for prefix in prefixes
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def _renamed(name: str, words: Sequence[tuple[str, str]]) -> str:
    for pattern, replacement in words:
        name = re.sub(pattern, replacement, name)
    return name


def _staged(name: str, halvings: Sequence[int]) -> str:
    """The name with the stage of its module: Apple numbers blocks, halvings and position encodings on in one list."""
    match = re.match(r"network\.(\d+)\.(.+)", name)
    if not match:
        return name
    place, rest = int(match[1]), match[2]
    stage = f"stages.{sum(halving <= place for halving in halvings)}"
    if rest.startswith("proj."):
        return f"{stage}.downsample.{rest}"
    if rest.startswith(("pe.", "reparam_conv.")):
        return f"{stage}.pos_emb.{rest.replace('pe.', 'pos_enc.')}"
    return f"{stage}.blocks.{rest}"
