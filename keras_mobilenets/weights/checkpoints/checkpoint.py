"""The state dictionary inside a checkpoint: which of its dictionaries, and without the prefixes of wrappers."""

import re
import warnings
from collections.abc import Mapping
from typing import Any

from keras_mobilenets.errors import UserError
from keras_mobilenets.weights.tensor_names import HEAD

# Where trainings keep the network, the averaged one first, as timm's own `load_checkpoint` does.
_KEYS = (
    *("state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "ema", "params_ema"),
    *("state_dict", "model_state_dict", "model_state", "model_weights", "model", "student", "net", "network", "module"),
    *("weights", "params", "state", "backbone", "generator"),
)
_OTHERS = re.compile(r"optim|sched|teacher|scaler|rng|args|config|hyper|discriminator|callbacks|loops")
# Modules that only hold the network: DataParallel, torch.compile, averages, FSDP, Lightning, and people's own.
_WRAPPERS = (
    "module|_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module|_forward_module|averaged_model|ema_model|"
    "model_ema|ema|online_network|student|base_model|model|backbone|encoder|network|net|trunk"
)
_PREFIX = re.compile(rf"((?:(?:{_WRAPPERS})\.)*)(?=\D.*\.)")  # what holds numbered modules is the network itself
_FLATTENED = re.compile(r"^(stem|stages|blocks|features|network)_(\d+)(?=\.)")  # by timm's features_only=True
_COUNTERS = ("num_batches_tracked", "attention_bias_idxs")  # a module's integers, which training does not change
_DEEPEST = 4


def tensors(checkpoint: Mapping[Any, Any]) -> dict[str, Any]:
    """The tensors of a network by the names that its own modules have.

    Args:
        checkpoint: {name: tensor}, or a checkpoint's dictionary with such a dictionary (or a PyTorch module) in it.

    Returns:
        {name: tensor}, without prefixes of wrappers and without counters of batches. One line of warning says which
        was taken of several, and what was left out.

    Raises:
        UserError: There are no tensors in it.
    """
    return _unwrapped(_state_dict(checkpoint))


def _state_dict(value: Any, depth: int = 0) -> dict[str, Any]:
    value = _dictionary(value)
    if value is None or depth > _DEEPEST:
        raise UserError("the checkpoint holds no dictionary of tensors: give model.state_dict()")
    inner = {str(key): found for key, item in value.items() if (found := _dictionary(item)) and _holds_tensors(found)}
    if any(_is_tensor(item) for item in value.values()) or not inner:
        return {str(name): tensor for name, tensor in value.items()}
    known = [key for key in _KEYS if key in inner] or [key for key in inner if not _OTHERS.search(key.lower())]
    if not known:
        raise UserError(f"the checkpoint holds {', '.join(inner)[:200]}, and no network: give model.state_dict()")
    if len(known) > 1:
        warnings.warn(f"the checkpoint holds {', '.join(known)}: {known[0]} is taken", stacklevel=5)
    return _state_dict(inner[known[0]], depth + 1)


def _unwrapped(state: dict[str, Any]) -> dict[str, Any]:
    groups: dict[str, dict[str, Any]] = {}
    for name, value in state.items():
        if not name.endswith(_COUNTERS):
            match = _PREFIX.match(name)
            prefix = match[1] if match else ""
            groups.setdefault(prefix, {})[_FLATTENED.sub(r"\1.\2", name[len(prefix) :])] = value
    bare = groups.pop("", {})
    wrapped = sorted(groups, key=lambda prefix: ("ema" in prefix, "student" in prefix, len(groups[prefix])))
    if not wrapped:
        return bare
    *others, taken = wrapped
    own = [name for name in bare if not re.match("teacher|criterion|loss", name)]
    if len(own) > len(groups[taken]):
        result, kept, others = bare, "without a wrapper", wrapped
    else:
        result, kept = groups[taken], f"of {taken}*"
        if not any(HEAD.match(name) for name in result):  # it stands beside the wrapped backbone
            result = result | {name: value for name, value in bare.items() if HEAD.match(name)}
        rest = (name for name, value in bare.items() if name not in result and _is_tensor(value))
        others += sorted({f"{name.split('.')[0]}." for name in rest})
    if others:
        left_out = ", ".join(f"{prefix}*" for prefix in others)[:200]
        warnings.warn(f"the tensors {kept} are taken, {left_out} left out", stacklevel=5)
    return result


def _dictionary(value: Any) -> Mapping[Any, Any] | None:
    if callable(getattr(value, "state_dict", None)):  # a PyTorch module
        value = value.state_dict()
    return value if isinstance(value, Mapping) else None


def _holds_tensors(value: Mapping[Any, Any], depth: int = 0) -> bool:
    if depth > _DEEPEST:
        return False
    inner = (found for item in value.values() if (found := _dictionary(item)) is not None)
    return any(_is_tensor(item) for item in value.values()) or any(_holds_tensors(found, depth + 1) for found in inner)


def _is_tensor(value: Any) -> bool:
    shape: Any = getattr(value, "shape", ())
    return len(shape) > 0
