"""What int8 does to a run's model: the error of each activation, and which layers it hurts most."""

from typing import Any

from keras_mobilenets.errors import UserError
from keras_mobilenets.pipeline.folder import SEED, RunFolder, alone, quantization_of, variant_of


@alone
def layer_errors(run: RunFolder, limit: int = 64) -> list[Any]:
    """Compares the activations of each int8 file with its float model's, into layer_errors.json.

    Args:
        run: The run; `convert` has filled it.
        limit: Validation images; drawn at random with seed 0.

    Returns:
        A `tflite.LayerErrors` for each file.

    Raises:
        UserError: There is no int8 file.
    """
    from keras_mobilenets import tflite

    paths = [path for path in run.tflite_files() if quantization_of(path) == "int8"]
    if not paths:
        raise UserError(f"{run.folder} holds no int8 file; run keras-mobilenets convert {run.folder}")
    images, _ = run.data().inputs("validation", limit, seed=SEED)
    found = [
        tflite.layer_errors(run.model_of(variant_of(path)), path, images, limit, pixels=run.pixels) for path in paths
    ]
    for errors in found:
        errors.save(run.folder / "layer_errors.json")
    return found


def sensitivity(run: RunFolder, by: str = "layer", limit: int = 64) -> Any:
    """As `tflite.sensitivity`, of the run's model on validation images with their labels.

    Args:
        run: The run; `train` has filled it.
        by: "layer" or "block": what is quantized at a time.
        limit: Validation images; drawn at random with seed 0.

    Raises:
        UserError: The run has no model.
    """
    from keras_mobilenets import tflite

    model = run.trained_model_file()
    return tflite.sensitivity(
        model, run.data().inputs("validation", limit, seed=SEED), limit=limit, by=by, pixels=run.pixels
    )
