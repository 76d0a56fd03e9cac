"""Files of a repository on the Hugging Face hub."""

import hashlib
import re
from pathlib import Path
from typing import Any

from keras_mobilenets.errors import UserError, first_line
from keras_mobilenets.files import sha256

_TOKEN = re.compile(r"hf_\w+|(?<=Bearer )[^\s'\"]+")
_ADVICE = {  # by what the server answers
    401: "log in with `hf auth login`",
    403: "log in with `hf auth login`, by a token that may do this",
    404: "look for the name on the hub; a private one needs `hf auth login`",
    409: "somebody else changed it meanwhile: try again",
    412: "somebody else changed it meanwhile: try again",
    429: "it was asked too often: try again later",
}
_UNREACHED = "see to the connection, and try again later"


def download(repository: str, file: str, revision: str | None = None) -> Path:
    """Fetches a file, or takes it from the hub's cache on this machine, and compares it with its hash on the hub.

    Args:
        repository: OWNER/NAME.
        file: Its path in the repository.
        revision: Branch, tag or commit; None for the main branch.

    Raises:
        UserError: The package huggingface_hub is missing, the hub does not give the file, or it is damaged.
    """
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise UserError(f"to fetch {repository} from the hub: pip install huggingface_hub") from error
    try:
        path = Path(hf_hub_download(repository, file, revision=revision))
    except Exception as error:  # offline, unknown, without access: each has its kind
        raise UserError(f"cannot fetch {file} of {repository}: {refusal(error)}") from error
    stored = path.resolve()  # the cache names contents by their hash
    if not _is_whole(stored):
        raise UserError(f"{file} of {repository} is damaged, it is not what the hub has: delete {stored} and try again")
    return path


def refusal(error: BaseException) -> str:
    """What the hub, or the way to it, says, and what to do: in one line, without a token in it."""
    reason = first_line(error)
    is_name = isinstance(error, ValueError)  # which no server was asked about
    while not hasattr(error, "response") and (cause := error.__cause__ or error.__context__):
        error = cause
    status = getattr(getattr(error, "response", None), "status_code", 0)
    if status:
        reason = first_line(error)
    advice = "" if is_name or 300 <= status < 500 else _UNREACHED
    said = "; ".join(filter(None, [reason.rstrip("."), _ADVICE.get(status, advice)]))
    return _TOKEN.sub("(token)", said)


def _is_whole(path: Path) -> bool:
    """Whether a file has the hash that it is named by: SHA-256 of a large one, Git's of a small one, or none."""
    if re.fullmatch("[0-9a-f]{64}", path.name):
        return sha256(path) == path.name
    if re.fullmatch("[0-9a-f]{40}", path.name):
        content = path.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest() == path.name
    return True


def from_pretrained(repository: str, *, revision: str | None = None) -> Any:
    """Loads the Keras model of a repository on the Hugging Face hub that `keras-mobilenets push` filled.

    Args:
        repository: OWNER/NAME.
        revision: Branch, tag or commit; None for the main branch.

    Returns:
        The model, loaded in safe mode: the file cannot run code.

    Raises:
        UserError: The hub does not give it, or it is no Keras 3 model.
    """
    from keras_mobilenets.weights import saved_model

    return saved_model.load_model(download(repository, "model.keras", revision))
