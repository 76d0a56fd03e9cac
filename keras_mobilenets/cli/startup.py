"""TensorFlow's import, without what it says of itself."""

import logging
import os
from argparse import Namespace


def import_tensorflow(options: Namespace) -> None:
    """Imports TensorFlow for a verb that needs it.

    It greets at import, before any of its own switches is heard, and later tells of what is deprecated in itself and in
    TensorFlow Datasets; with --debug it may.
    """
    if options.debug:
        return
    from keras_mobilenets.tflite.runtime.native_output import suppress_native_output

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with suppress_native_output():
        import tensorflow  # noqa: F401
    for name in ("tensorflow", "absl"):
        logging.getLogger(name).setLevel(logging.ERROR)
