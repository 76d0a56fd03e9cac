"""The text towers of CLIP: open_clip's names, and MobileCLIP-S0's blocks of convolutions (`towers.text_tower`)."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from keras_mobilenets.weights.dialects.blocks import weighted
from keras_mobilenets.weights.dialects.families import fastvit

_TRANSFORMER = {
    "attention_norm": "ln_1",
    "query": "attn.query",
    "key": "attn.key",
    "value": "attn.value",
    "project": "attn.out_proj",
    "norm": "ln_2",
    "expand": "mlp.c_fc",
    "reduce": "mlp.c_proj",
}
_ENDS = {
    "token_embedding": "token_embedding",
    "position_embedding": "positional_embedding",
    "head_norm": "ln_final",
    "embedding": "text_projection",
}


def matches(arrays: Mapping[str, Any]) -> bool:
    """Whether these tensors have the names of this dialect."""
    return "token_embedding.weight" in arrays


def tensors(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Query, key and value each by itself, linear layers as 1×1 convolutions, tables as matrices of a layer."""
    result = fastvit.tensors(arrays)
    tables = {
        "token_embedding.weight": result.pop("token_embedding.weight"),
        "positional_embedding.weight": result.pop("positional_embedding"),
        "text_projection.weight": result.pop("text_projection"),
    }
    return result | {name: array.reshape(-1, array.shape[-1]).T for name, array in tables.items()}


def modules(model: keras.Model, arrays: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """For every layer with weights its module: (layer, module)."""
    names = weighted(model)
    for name in names:
        if match := re.fullmatch(r"(block_(\d+))_(.+)", name):
            attends = f"{match[1]}_query" in names
            module = _TRANSFORMER[match[3]] if attends else fastvit.block_module(match[3], attends=False)
            yield name, f"transformer.resblocks.{match[2]}.{module}"
    yield from _ENDS.items()
