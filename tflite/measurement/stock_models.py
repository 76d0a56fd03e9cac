"""The stock model of a run: keras.applications' counterpart through the stock TensorFlow Lite converter.

The weights are random, which latency does not care for, but batch normalization keeps activations at the size of
trained ones: numbers too small for a float's full precision would slow a CPU down.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_mobilenets.errors import UserError
from keras_mobilenets.files import atomic, read_json, write_json
from keras_mobilenets.progress import track
from keras_mobilenets.tflite.results.results import Row
from keras_mobilenets.tflite.runtime.native_output import suppress_native_output
from keras_mobilenets.variant import network_arguments

_RENAMED = {"MobileNetV1": "MobileNet"}
_WITHOUT_RESCALING = ("MobileNetV3", "EfficientNetV2")  # the others have none, or do not let it be left out
WARM_UP = 8  # images that set the statistics of batch normalization


def keras_applications(builder: str, input_shape: Sequence[int], classes: int = 1000, **arguments: Any) -> Any:
    """Builds the counterpart of one of our models, with random weights.

    Args:
        builder: Name of our builder, such as "MobileNetV2".
        input_shape: Height, width, 3.
        classes: Number of classes.
        **arguments: Further arguments of our builder.

    Raises:
        UserError: keras.applications has no such model, or none with such arguments.
    """
    import keras

    make = getattr(keras.applications, _RENAMED.get(builder, builder), None)
    known = {"alpha"} if builder.startswith("MobileNet") else set()
    asked = network_arguments(arguments)
    if make is None or not set(asked) <= known:
        what = " ".join([builder, *(f"{name}={value}" for name, value in asked.items())])
        raise UserError(f"keras.applications has no counterpart of {what}; benchmark without --peers")
    if builder.startswith(_WITHOUT_RESCALING):
        asked["include_preprocessing"] = False
    return make(input_shape=tuple(input_shape), weights=None, classes=classes, **asked)


def stock(model: Any, path: Path, quantize: str = "none", images: np.ndarray | None = None) -> Path:
    """Converts as TensorFlow's guide to post-training quantization does.

    Args:
        model: Keras model.
        path: The .tflite.
        quantize: "none", "float16", "dynamic" or "int8".
        images: Calibration images for "int8", float32 N×H×W×3.

    Raises:
        UserError: "int8" without images.
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if quantize != "none":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if quantize == "int8":
        if images is None:
            raise UserError("int8 needs calibration images")
        converter.representative_dataset = lambda: ([image[None]] for image in images)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    with atomic(path) as temporary, suppress_native_output():
        temporary.write_bytes(converter.convert())
    return Path(path)


def noise(input_shape: Sequence[int], count: int = 20) -> np.ndarray:
    """Images of coloured noise in [−1, 1], float32."""
    rng = np.random.default_rng(0)
    images = rng.normal(0, 0.5, (count, 1, 1, 3)) + rng.normal(0, 0.3, (count, *input_shape))
    return np.clip(images, -1, 1).astype(np.float32)


def convert_stock_models(
    folder: Path, builder: str, arguments: Mapping[str, Any], size: int, classes: int, quantizations: Sequence[str]
) -> list[Path]:
    """Writes the counterpart of a model, once for each quantization; what is there from before stays.

    Args:
        folder: Where the files go, as keras.applications.NAME_float32.tflite and so on, beside peers.json.
        builder: Name of our builder.
        arguments: Its arguments, without input shape and classes.
        size: Side of the input.
        classes: Number of classes.
        quantizations: Of "none", "float16", "dynamic", "int8".

    Raises:
        UserError: keras.applications has no such model.
    """
    import keras
    import tensorflow as tf

    made = {"builder": builder, "arguments": dict(arguments), "size": size, "classes": classes}
    made |= {"keras": keras.__version__, "tensorflow": tf.__version__}
    record = folder / "peers.json"
    fresh = record.exists() and read_json(record) == made
    name = f"keras.applications.{_RENAMED.get(builder, builder)}"
    paths = {q: folder / f"{name}_{'float32' if q == 'none' else q}.tflite" for q in dict.fromkeys(quantizations)}
    missing = [quantize for quantize, path in paths.items() if not (fresh and path.exists())]
    if missing:
        from keras_mobilenets.training.engine.batch_normalization import estimate_statistics

        images = noise((size, size, 3))
        model = estimate_statistics(
            keras_applications(builder, (size, size, 3), classes, **arguments), images[:WARM_UP]
        )
        for quantize in track(missing, "Converting the stock model"):
            stock(model, paths[quantize], quantize, images)
        write_json(record, made)
    return list(paths.values())


def with_stock_ratios(rows: Sequence[Row], stock_rows: Sequence[Row]) -> list[Row]:
    """Rows with their `peer_ratio`: the median over that of the stock model of the same quantization and threads."""
    medians = {(row.quantization, row.threads): row.median_ms for row in stock_rows}
    ratios = [(row.median_ms, medians.get((row.quantization, row.threads))) for row in rows]
    return [
        row.with_(peer_ratio=round(ours / theirs, 4) if ours and theirs else None)
        for row, (ours, theirs) in zip(rows, ratios, strict=True)
    ]
