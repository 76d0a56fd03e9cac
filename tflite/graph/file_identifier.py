"""The file identifier of a TFLite flatbuffer: bytes 4 to 8 spell TFL3."""

from pathlib import Path

from keras_mobilenets.errors import UserError


def check_file(path: str | Path) -> None:
    """Refuses what is plainly no .tflite, before the runtime maps it into memory.

    Raises:
        UserError: The file is missing, empty, or lacks the TFL3 identifier.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(8)
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; give a .tflite file") from error
    if len(head) < 8 or head[4:] != b"TFL3":
        raise UserError(f"{path} is not a .tflite file: it lacks the TFL3 identifier")
