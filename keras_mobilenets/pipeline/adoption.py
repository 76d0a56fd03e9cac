"""A model that was trained elsewhere becomes the model of a run, so that all steps take it as they take our own."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

from keras_mobilenets import files
from keras_mobilenets.errors import UserError
from keras_mobilenets.graphs.class_names import class_names, same_classes
from keras_mobilenets.lock import locked
from keras_mobilenets.pipeline.folder import RunFolder

BATCH_SIZE = 64
# keras.applications' 0.999 follows a short training too slowly.
BN_MOMENTUM = 0.9


def adopt(
    run: RunFolder,
    file: str | Path,
    *,
    data: str | Path | None = None,
    image_size: int | None = None,
    batch_size: int = BATCH_SIZE,
    data_dir: str | None = None,
    pixels: str | None = None,
) -> Path:
    """Takes a model from a file into the run folder; the same file again changes nothing.

    Args:
        run: The run.
        file: A classifier of images: a `.keras` or `.h5` file of Keras 3 or Keras 2, or a SavedModel folder of Keras 2.
        data: What it was trained on: "shapes", a TFDS name, or a folder of class folders; None to say it later. Without
            it, the model converts in float and can be explained.
        image_size: Side of the images in pixels, for a model that leaves it open; None for the model's own.
        batch_size: Images per step of trainings to come.
        data_dir: Where TFDS data sets are kept.
        pixels: What the model's input means, as in `tflite.convert`; None where the model says it.

    Returns:
        The run's model.keras.

    Raises:
        UserError: The file holds no model of one image and one vector of scores, the model and the data do not fit
            together, or the folder holds another model or other data.
    """
    file, name = Path(file), None if data is None else str(data)
    digest = _sha256(file)
    with locked(run.folder):
        there = run.asked
        if (there or run.model_file.exists()) and there.get("adopted", {}).get("sha256") != digest:
            raise UserError(f"{run.folder} holds another model than {file}; give another run folder")
        if name and "data" in there:
            files.refuse_other(run.folder, "model of data", there["data"], {"name": name})
        if not run.model_file.exists() or (name and "data" not in there):
            model = _loaded(file, image_size)
            record: dict[str, Any] = {"adopted": {"file": str(file), "sha256": digest}}
            record |= {"model": _described(model, file, pixels), "recipe": _recipe(), "data_dir": data_dir}
            record |= {} if name is None else {"data": _data(model, file, name, batch_size, data_dir)}
            files.write_json(run.folder / "run.json", there | record)  # first: a model without it is someone else's
            if not run.model_file.exists():
                with files.atomic(run.model_file) as path:
                    model.save(path)
        if pixels is not None:
            run.say_pixels(pixels)
    return run.model_file


def _loaded(file: Path, size: int | None) -> Any:
    """The model, at a fixed size of its input."""
    from keras_mobilenets.training import load_model
    from keras_mobilenets.training.compression import qat

    model = load_model(file)
    if qat.is_quantize_aware(model) or qat.is_quantize_aware_by_tfmot(model):
        raise UserError(
            f"{file} is quantization-aware already: keras-mobilenets convert {file}, then evaluate and benchmark its "
            ".tflite; all else needs the float model"
        )
    if _hears(model) and len(model.output_shape) == 2:
        return model
    shapes = [tuple(tensor.shape) for tensor in (*(model.inputs or ()), *(model.outputs or ()))]
    if list(map(len, shapes)) == [5, 2] and None not in shapes[0][1:] and shapes[0][-1] == 3:
        return model  # of clips
    if list(map(len, shapes)) != [4, 2] or shapes[0][-1] != 3 or shapes[1][-1] is None:
        raise UserError(
            f"{file} is no classifier of one RGB image and one vector of scores; tflite.convert and benchmark take it"
        )
    sides = set(shapes[0][1:3])
    if None not in sides and size in (None, *sides) and len(sides) == 1:
        return model
    if size is None or not sides <= {None, size}:
        wants = (
            "any size" if sides == {None} else "×".join("any" if side is None else str(side) for side in shapes[0][1:3])
        )
        hint = "give --size, the side of its images" if None in sides else "square images are needed, of that size"
        raise UserError(f"{file} takes images of {wants}{f', not {size}' if size else ''}: {hint}")
    return _of_size(model, file, size)


def _hears(model: Any) -> bool:
    """Whether a model takes a waveform or features of it, by what its input is called."""
    from keras_mobilenets.graphs.input_names import input_name
    from keras_mobilenets.waveforms.features import INPUTS

    return input_name(model) in INPUTS and len(model.inputs) == 1


def _of_size(model: Any, file: Path, size: int) -> Any:
    """The same layers on an input of that size."""
    import keras

    from keras_mobilenets.graphs.flat_model import run

    if not isinstance(model, keras.Model):
        raise UserError(f"{file} leaves its input size open: build it with an input of ({size}, {size}, 3) and save it")
    source = model.inputs[0]
    inputs = [keras.Input((size, size, 3), dtype=source.dtype, name=source.name)]
    return keras.Model(inputs, run(model, inputs), name=model.name)


def _described(model: Any, file: Path, pixels: str | None) -> dict[str, Any]:
    """What run.json says of the model, as of one that was trained here; of pixels what the model says."""
    from keras_mobilenets.pixels.preprocessing_layers import scaling_of

    described = {
        "name": file.stem,
        "input_shape": list(model.input_shape[1:]),
        "classes": model.output_shape[-1],
        "parameters": model.count_params(),
    }
    if _hears(model):
        from keras_mobilenets.training.datasets.speech.recordings import Recordings

        kind = Recordings()
        return described | kind.described(kind.scaling_for(model))
    scaling = scaling_of(model, pixels)
    return described | ({} if scaling.is_assumed or pixels is not None else {"pixels": str(scaling)})


def _recipe() -> dict[str, Any]:
    """That of the trainings to come, at the learning rate of fine-tuning."""
    from keras_mobilenets.training.objectives.fine_tuning import FINE_TUNING_RATE
    from keras_mobilenets.training.recipe import Recipe

    recipe = Recipe(learning_rate=FINE_TUNING_RATE * Recipe.learning_rate, bn_momentum=BN_MOMENTUM)
    return dataclasses.asdict(recipe)


def _data(model: Any, file: Path, name: str, batch_size: int, data_dir: str | None) -> dict[str, Any]:
    """What run.json says of the data, which fit the model."""
    from keras_mobilenets import training
    from keras_mobilenets.pixels.batches import frames_of, side_of

    is_of_features = _hears(model) and len(model.input_shape) == 4
    size, outputs = None if is_of_features else side_of(model.input_shape), model.output_shape[-1]
    data = training.load_data(name, size, batch_size, data_dir, frames=frames_of(model.input_shape))
    if len(data.class_names) != outputs:
        raise UserError(
            f"{file} has {outputs} outputs but {name} has {len(data.class_names)} classes; give the data it was "
            "trained on, one class for each output"
        )
    own = class_names(model)
    if own and not same_classes(own, data.class_names):
        raise UserError(
            f"{file} has other classes than {name}, or in another order: make it with labels"
            f" {', '.join(data.class_names)}"
        )
    return {
        "name": name,
        "image_size": data.image_size,
        "batch_size": batch_size,
        "class_names": own or data.class_names,
        "train_images": data.count("train"),
    } | (data.kind.options | data.task.described)


def _sha256(file: Path) -> str:
    """SHA-256 of a file; of a folder, that of its files' digests in the order of their names."""
    if not file.is_dir():
        return files.sha256(file)
    parts = sorted(path for path in file.rglob("*") if path.is_file())
    return hashlib.sha256("".join(map(files.sha256, parts)).encode()).hexdigest()
