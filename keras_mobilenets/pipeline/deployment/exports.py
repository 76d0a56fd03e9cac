"""A run's .tflite files for other runtimes, and their figures for Model Explorer."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_mobilenets.errors import UserError
from keras_mobilenets.pipeline.conversion import CALIBRATION
from keras_mobilenets.pipeline.folder import SEED, RunFolder, alone, quantization_of, variant_of


@alone
def export(
    run: RunFolder,
    format: str = "onnx",
    layout: str = "nhwc",
    batch: int | None = 1,
    precision: str | None = None,
) -> list[Path]:
    """Writes the float32 and int8 .tflite files of a run in another format, beside them; as `tflite.export`.

    Args:
        run: The run, or a folder of .tflite files; float32 ones are compared with its Keras model too.
        format: "onnx", "openvino" or "tensorrt".
        layout: "nhwc" or "nchw".
        batch: 1, or None for any number of images at once.
        precision: Of TensorRT: "int8" of the int8 files, or where there are none of the float32 ones, calibrated on the
            run's training images; "fp16" of the float32 ones; both when not given.

    Returns:
        The files, or folders of TensorRT.

    Raises:
        UserError: As `tflite.export`, or the run holds neither a float32 nor an int8 file.
    """
    from keras_mobilenets import tflite
    from keras_mobilenets.training.compression.model_loader import load_model

    paths = [path for path in run.tflite_files() if quantization_of(path) in ("none", "int8")]
    if not paths:
        raise UserError(f"{run.folder} holds no float32 or int8 file; run keras-mobilenets convert {run.folder}")
    wanted = [path for path in paths if quantization_of(path) == {"int8": "int8", "fp16": "none"}.get(str(precision))]
    made = []
    for path in wanted or paths:
        source, is_float = run.model_of(variant_of(path)), quantization_of(path) == "none"
        how: dict[str, Any] = {"format": format, "layout": layout, "batch": batch, "precision": precision}
        if is_float and source.exists():
            how["keras_model"] = load_model(source)
        if is_float and format == "tensorrt" and precision == "int8":
            how["calibration"], _ = run.data().inputs("train", CALIBRATION, seed=SEED)
        made.append(tflite.export(path, **how))
    return made


def node_data(run: RunFolder, targets: Sequence[str] = ("xnnpack",), limit: int = 64) -> list[Path]:
    """Writes the figures of the operators of a run's int8 files for Model Explorer, into its folder `model_explorer`.

    Latency on this machine, SQNR, sensitivity of the layers, and delegation; as `tflite.node_data`.

    Args:
        run: The run; `convert` has filled it.
        targets: Those that are asked about delegation.
        limit: Validation images of SQNR and sensitivity.

    Raises:
        UserError: There is no int8 file, or a target cannot be asked.
    """
    from keras_mobilenets import tflite
    from keras_mobilenets.pipeline.quantization_error import layer_errors, sensitivity

    sensitive = sensitivity(run, limit=limit)
    return [
        file
        for errors in layer_errors(run, limit)
        for file in tflite.node_data(
            errors.path,
            run.folder / "model_explorer",
            profile=tflite.profile(errors.path),
            errors=errors,
            sensitivity=sensitive,
            checks=[(target, tflite.check(errors.path, target)) for target in targets],
        )
    ]
