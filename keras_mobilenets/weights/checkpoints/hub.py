"""Files of a repository on the Hugging Face hub."""

from pathlib import Path
from typing import Any

from keras_mobilenets.errors import UserError, first_line


def download(repository: str, file: str, revision: str | None = None) -> Path:
    """Fetches a file, or takes it from the hub's cache on this machine.

    Args:
        repository: OWNER/NAME.
        file: Its path in the repository.
        revision: Branch, tag or commit; None for the main branch.

    Raises:
        UserError: The package huggingface_hub is missing, or the hub does not give the file.
    """
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise UserError(f"to fetch {repository} from the hub: pip install huggingface_hub") from error
    try:
        return Path(hf_hub_download(repository, file, revision=revision))
    except Exception as error:  # offline, unknown, without access: each has its kind
        raise UserError(f"cannot fetch {file} of {repository}: {first_line(error)}") from error


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
