"""Conversion of a run's models, or of a single .keras file, to .tflite files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_mobilenets.errors import UserError
from keras_mobilenets.files import sha256
from keras_mobilenets.graphs.class_names import class_names
from keras_mobilenets.pipeline.folder import QUANTIZE, SEED, RunFolder, alone
from keras_mobilenets.pixels.folder_layout import read_tree, type_of_files

CALIBRATION = 200  # training images
USUAL = ("float32", "float16", "int8")
QUANTIZATION_AWARE = ("qat", "pqat", "cqat")  # variants that know their ranges, so that they are not calibrated
# What `tflite.convert` does to calibrated files when nothing is said.
DEFAULTS: dict[str, Any] = {
    "calibration_method": "auto",
    "effort": "default",
    "leave_in_float": 0,
    "max_slowdown": None,
    "min_sqnr": None,
    "equalize": False,
    "bias_correction": False,
}


@alone
def convert(
    run: RunFolder,
    quantize: Sequence[str] = USUAL,
    calibration: int = CALIBRATION,
    target: str = "nnapi",
    data: Any = None,
    **settings: Any,
) -> list[Path]:
    """Writes a .tflite for each quantization, and an int8 one for each variant; what is up to date stays.

    Args:
        run: The run; `train` has filled it.
        quantize: Of "float32", "float16", "dynamic", "int8".
        calibration: Training images to calibrate on; drawn at random with seed 0, recorded in run.json with a SHA-256.
        target: As in `tflite.convert`.
        data: Where calibration images come from, as `Run.data` gives it; the run's own data when not given.
        **settings: Arguments of `tflite.convert` for int8 files that are calibrated, such as equalize=True.

    Returns:
        The files.

    Raises:
        UserError: The run has no model, or `tflite.convert` refuses an argument.
    """
    run.trained_model_file()
    recorded, models, images, paths = run.asked.get("convert", {}), {}, None, []
    made_from = {variant: sha256(run.model_of(variant)) for variant in ("", *run.variants())}
    for variant, quantization in [("", q) for q in quantize] + [(v, "int8") for v in run.variants()]:
        path = run.tflite_file(variant, quantization)
        paths.append(path)
        asked: dict[str, Any] = {"model_sha256": made_from[variant], "quantize": quantization}
        is_calibrated = quantization == "int8" and variant not in QUANTIZATION_AWARE
        if quantization == "int8":
            asked["target"] = target
        if "pixels" in run.asked:
            asked["pixels"] = run.asked["pixels"]
        if is_calibrated:
            name = data.name if data else run.asked.get("data", {}).get("name")
            drawn = {"data": name, "split": "train", "images": calibration, "seed": SEED}
            asked |= {"calibration": drawn} | settings
        if path.exists() and _comparable(recorded.get(path.name, {})) == _comparable(asked | {"sha256": sha256(path)}):
            continue
        from keras_mobilenets import tflite
        from keras_mobilenets.training.compression.model_loader import load_model

        if variant not in models:
            models[variant] = load_model(run.model_of(variant))
        if is_calibrated and images is None:
            images, _ = (data or run.data()).inputs("train", calibration, seed=SEED)
        tflite.convert(
            models[variant],
            path,
            quantize=QUANTIZE[quantization],
            target=target,
            pixels=run.pixels,
            labels=class_names(models[variant]) or run.asked.get("data", {}).get("class_names"),
            **({"calibration": images, "calibration_images": calibration} | settings if is_calibrated else {}),
        )
        if is_calibrated:
            asked["found"] = _found(path, images)
        recorded = recorded | {path.name: asked | {"sha256": sha256(path)}}
        run.record("convert", recorded)
    return paths


def convert_file(
    source: str | Path,
    quantize: Sequence[str] = USUAL,
    calibration: int = CALIBRATION,
    target: str = "nnapi",
    data: str | None = None,
    data_dir: str | None = None,
    out: str | Path | None = None,
    pixels: Any = None,
    torch: str | None = None,
    size: int | None = None,
    **settings: Any,
) -> list[Path]:
    """Writes the .tflite files of a .keras file or of PyTorch's; of a quantization-aware model, the int8 one alone.

    Args:
        source: The .keras file, or weights that `from_torch` reads.
        quantize: As in `convert`.
        calibration: As in `convert`.
        target: As in `convert`.
        data: Where calibration images and the names of the classes come from: "shapes", a TFDS name or a folder of
            images, in class folders or not.
        data_dir: Where TFDS data sets are kept.
        out: Folder of the .tflite files; None for that of the source.
        pixels: What the model's input means, as in `tflite.convert`; of PyTorch's weights, as in `from_torch`.
        torch: Name of a PyTorch model in timm or torchvision; None to take it from the file's name.
        size: Side of the images in pixels, of a PyTorch model (None for its paper's) or a Keras model of open size.
        **settings: As in `convert`.

    Returns:
        The files.

    Raises:
        UserError: int8 needs calibration images and `data` is not given, or the file cannot be read.
    """
    from keras_mobilenets import tflite, training
    from keras_mobilenets.graphs.input_names import input_name
    from keras_mobilenets.pixels.batches import frames_of, side_of
    from keras_mobilenets.tflite.conversion.detection.post_process import is_detector
    from keras_mobilenets.tflite.conversion.float_graph import opened
    from keras_mobilenets.waveforms.features import FEATURES

    source = Path(source)
    foreign = _from_torch(source, torch, size, pixels)
    model, is_quantization_aware = opened(foreign or source)
    pixels = None if foreign else pixels  # which are inside then
    shape = None if foreign or not size else (size, size, model.inputs[0].shape[-1])
    images, labels, paths = None, class_names(model), []
    if "int8" in quantize and not is_quantization_aware and not data:
        raise UserError("int8 needs calibration images: give --data shapes, a folder of images or a TFDS name")
    folder = Path(data).expanduser() if data else None
    if folder and folder.is_dir() and not read_tree(folder, type_of_files(folder)).filled:
        images = folder
    elif data:
        is_of_features = input_name(model) in FEATURES
        side = size or (None if is_of_features else side_of(model.input_shape))
        if side is None and not is_of_features:
            raise UserError(f"{source} takes images of any size: say which by --size")
        opened_data = training.load_data(data, side, data_dir=data_dir, frames=frames_of(model.input_shape))
        beside = 5 if is_detector(model) else 0  # the offsets of a box and the background
        if labels is None and len(opened_data.class_names) == model.output_shape[-1] - beside:
            labels = opened_data.class_names
        if not is_quantization_aware:
            images, _ = opened_data.scaled_for(model).inputs("train", calibration, seed=SEED)
    for quantization in ["int8"] if is_quantization_aware else quantize:
        path = Path(out or source.parent) / f"{source.stem}_{quantization}.tflite"
        is_calibrated = quantization == "int8" and not is_quantization_aware
        how = {"calibration": images, "calibration_images": calibration} | settings if is_calibrated else {}
        how |= {"pixels": pixels, "labels": labels, "input_shape": shape}
        paths.append(tflite.convert(model, path, quantize=QUANTIZE[quantization], target=target, **how))
    return paths


def _from_torch(source: Path, name: str | None, size: int | None, pixels: Any) -> Any:
    """The model of PyTorch's weights; None for a file of Keras."""
    from keras_mobilenets.models import torch_names
    from keras_mobilenets.weights import torch_models
    from keras_mobilenets.weights.checkpoints import torch_files

    if source.suffix not in (*torch_files.SUFFIXES, ".safetensors") and not name:
        return None
    model = name or torch_models.parsed(source.name)[0]
    if not name and model not in torch_models.names():
        raise UserError(
            f"say which model {source} has the weights of, by its name in timm or torchvision: --torch NAME"
        )
    side = torch_names.default_size(model) if size is None else size
    return torch_names.from_torch(model, source, pixels=pixels, input_shape=(side, side, 3))


def _found(path: Path, images: Any) -> dict[str, Any]:
    """What is known after a conversion only: which images they were, what was chosen, which layers stayed in float.

    With `leave_in_float="auto"` also the points of the curve it was taken from.
    """
    import hashlib

    from keras_mobilenets.tflite.conversion.forms.attached_curve import attached
    from keras_mobilenets.tflite.graph.flatbuffer import description
    from keras_mobilenets.tflite.graph.layer_names import float_layers

    content = path.read_bytes()
    found: dict[str, Any] = {
        "images_sha256": hashlib.sha256(images.tobytes()).hexdigest(),
        "int8": description(content),
        "float_layers": float_layers(content),
    }
    points = attached(content)
    return found | ({"trade_off": points} if points else {})


def _comparable(recorded: dict[str, Any]) -> dict[str, Any]:
    """A record of a conversion without what was found by it, and with the defaults of what was not said."""
    asked = {key: value for key, value in recorded.items() if key != "found"}
    if "calibration" not in asked:
        return asked
    asked = DEFAULTS | asked
    layers = asked["leave_in_float"]
    return asked | {"leave_in_float": layers if isinstance(layers, int | str) else list(layers) or 0}
