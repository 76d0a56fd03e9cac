"""What networks call an input that is no image, which its axes alone would not tell; `waveforms` has those of sound."""

from typing import Any

HISTORY = "history"  # item numbers, int32: 0 where nothing was yet, else 1 + the class of the item


def input_name(model: Any) -> str:
    """What the first input of a Keras 3 or tf_keras model is called; "" without inputs."""
    inputs = list(getattr(model, "inputs", None) or [])
    return str(inputs[0].name).split(":")[0] if inputs else ""  # tf_keras may add ":0"
