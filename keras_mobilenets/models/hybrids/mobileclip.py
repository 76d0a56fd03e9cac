"""MobileCLIP's text towers: Vasu et al. 2023, "MobileCLIP: Fast Image-Text Models through Multi-Modal Reinforced
Training", arXiv:2311.17049, section 4. The image towers are those of `fastvit`.
"""

import re
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_mobilenets import blocks

# CLIP's byte-pair vocabulary and length of texts; channels of a head.
VOCABULARY = 49408
CONTEXT = 77
HEAD = 64
EXPANSION = 4
KERNEL = (1, 11)  # of the convolutions over neighbouring tokens (section 4.1)
LAYER_SCALE = 1e-5


def text_tower(
    width: int = 512,
    depth: int = 4,
    *,
    has_convolutions: bool = True,
    embedding: int = 512,
    vocabulary: int = VOCABULARY,
    context: int = CONTEXT,
    name: str | None = None,
) -> keras.Model:
    """Builds a text tower: transformers on tokens, in MobileCLIP-S0 between two blocks of convolutions.

    Args:
        width: Channels of a token, a multiple of 64.
        depth: Number of transformers: 4 in MobileCLIP-S0, 12 in MobileCLIP-S1, MobileCLIP-S2 and MobileCLIP2.
        has_convolutions: Whether a block of convolutions stands before and behind them, as in MobileCLIP-S0.
        embedding: Length of the vectors that it gives.
        vocabulary: Number of tokens; the highest ends a text.
        context: Tokens of a text.
        name: Name of the model.

    Returns:
        A functional Keras model: int32 tokens (batch, context) to vectors (batch, embedding) of any length.
    """
    tokens = keras.Input((context,), dtype="int32", name="tokens")
    x = layers.Embedding(vocabulary, width, name="token_embedding")(tokens)
    x = blocks.PositionEmbedding(name="position_embedding")(x)
    x = layers.Reshape((1, context, width), name="rows")(x)
    convolutions = (0, depth + 1) if has_convolutions else ()
    for index in range(depth + len(convolutions)):
        if index in convolutions:
            kernels: dict[str, Any] = {"kernel_size": KERNEL, "mlp_kernel_size": KERNEL}
            x = blocks.repmixer_block(x, EXPANSION, **kernels, layer_scale=LAYER_SCALE, name=f"block_{index}")
        else:
            x = blocks.transformer(x, width // HEAD, expansion=EXPANSION, activation="gelu", name=f"block_{index}")
    x = layers.Reshape((context, width), name="tokens_of_text")(blocks.layer_norm(x, epsilon=1e-5, name="head"))
    x = blocks.EndOfText(name="end_of_text")(x, tokens)
    x = layers.Dense(embedding, use_bias=False, name="embedding")(x)
    model = keras.Model(tokens, x, name=name or "mobileclip_text")
    model.variant = ("text_tower", {})
    return model


def arguments_of(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The arguments of `text_tower` that weights of these names and shapes are for (`weights.towers.text_tower`)."""
    vocabulary, width = arrays["token_embedding.weight"].shape
    numbers = {match[1] for name in arrays if (match := re.match(r"transformer\.resblocks\.(\d+)\.ln_1\.", name))}
    return {
        "width": width,
        "depth": len(numbers),
        "has_convolutions": "0" not in numbers,
        "embedding": arrays["text_projection"].shape[-1],
        "vocabulary": vocabulary,
        "context": arrays["positional_embedding"].shape[-2],
    }
