"""What drew a run's model to its answers, and what it gets wrong."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from keras_mobilenets.errors import UserError, unknown
from keras_mobilenets.pipeline.folder import RunFolder

SIDE = 384  # pixels of a picture at least, so that small inputs can be seen


class Explanation(NamedTuple):
    """What a model says of an image and what drew it to that.

    Attributes:
        image: The image's file.
        picture: The image beside its heat, or with the boxes that a detector found in it, a .png file.
        shares: Class names to probabilities, most probable first; of a detector the surest box of each class it found.
        of: The class that the heat speaks for; of a detector that of the boxes, empty for all classes.
        is_drawn: Whether anything in the image speaks for it, or whether there is a box.
        boxes: How many boxes there are; None where the model is no detector.
    """

    image: Path
    picture: Path
    shares: dict[str, float]
    of: str
    is_drawn: bool
    boxes: int | None = None


def explain(
    run: RunFolder,
    images: Sequence[str | Path],
    of: str | None = None,
    layer: str | None = None,
    out: str | Path | None = None,
) -> list[Explanation]:
    """Says what the model makes of each image, and writes the image beside its heat (Grad-CAM), or with its boxes.

    Args:
        run: The run; `train` has filled it.
        images: JPEG, PNG or WebP files.
        of: What speaks for this class; None for the model's answer. Of a detector, the boxes of this class alone.
        layer: Whose feature map is seen; None for the last of 4×4 or more.
        out: Folder of the pictures, or the .png file of one; None for RUN/explained.

    Raises:
        UserError: An image cannot be read, or there is no such class or layer.
    """
    import numpy as np
    from PIL import Image

    from keras_mobilenets.files import atomic
    from keras_mobilenets.tflite.conversion.detection.post_process import is_detector
    from keras_mobilenets.training import grad_cam, load_model, overlay
    from keras_mobilenets.training.evaluation.examination import probabilities

    paths, model_file = [Path(image) for image in images], run.trained_model_file()
    _check(paths, out)
    names = run.asked.get("data", {}).get("class_names", [])
    if of and of not in names:
        raise unknown("class", of, names, str(run.folder / "run.json"))
    model = load_model(model_file)
    if is_detector(model):
        if layer is not None:
            raise UserError(f"{run.folder} holds a detector, which shows its boxes and no layer; leave out --layer")
        return _found(model, paths, _places(paths, run, out), tuple(names), of, run.pixels)
    if len(model.input_shape) != 4 or "features" in run.asked.get("model", {}):
        raise UserError(f"{run.folder} holds no classifier of images: Grad-CAM shows where in an image it looks")
    names = names or [str(number) for number in range(model.output_shape[-1])]
    size = model.input_shape[1] or run.asked["data"]["image_size"]
    shown = [_read(image, max(size, SIDE)) for image in paths]
    pixels = np.stack([_read(image, size) for image in paths])
    shares = probabilities(model, pixels, run.pixels)
    classes = shares.argmax(axis=1) if of is None else np.full(len(paths), names.index(of))
    heat, explained = grad_cam(model, pixels, classes, layer, run.pixels), []
    for image, picture, large, share, number, warm in zip(
        paths, _places(paths, run, out), shown, shares, classes, heat, strict=True
    ):
        warm = np.asarray(Image.fromarray(warm).resize(large.shape[1::-1], Image.Resampling.BILINEAR))
        with atomic(picture) as temporary:
            Image.fromarray(np.hstack([large, overlay(large, warm)])).save(temporary, "PNG")
        ranked = {names[best]: float(share[best]) for best in np.argsort(-share)}
        explained.append(Explanation(image, picture, ranked, names[number], bool(warm.any())))
    return explained


def _found(
    model: Any,
    paths: Sequence[Path],
    pictures: Sequence[Path],
    names: tuple[str, ...],
    of: str | None,
    pixels: str | None,
) -> list[Explanation]:
    """What a detector finds in each image, drawn into it."""
    import numpy as np
    from PIL import Image

    from keras_mobilenets.files import atomic
    from keras_mobilenets.models.detection.anchors import anchors_of
    from keras_mobilenets.pixels.batches import to_input
    from keras_mobilenets.pixels.image_decoder import shown_size
    from keras_mobilenets.pixels.preprocessing_layers import scaling_of
    from keras_mobilenets.tflite.reports.examinations.detection_analysis import drawn
    from keras_mobilenets.training.evaluation.forward_pass import forward_pass
    from keras_mobilenets.training.tasks.detection.examination import SURE
    from keras_mobilenets.training.tasks.detection.suppression import found

    size, explained = model.input_shape[1:3], []
    names = names or tuple(str(number) for number in range(model.output_shape[-1] - 5))
    stretched = np.stack([_stretched(image, *size) for image in paths])
    answers = forward_pass(model)(to_input(stretched, scaling_of(model, pixels, stretched), model=model.name))
    for image, picture, answer in zip(paths, pictures, found(answers, anchors_of(model)), strict=True):
        rows = np.concatenate([answer.boxes, answer.classes[:, None], answer.scores[:, None]], axis=1)
        rows = rows[(answer.scores >= SURE) & (of is None or answer.classes == names.index(of))]
        wide, high = shown_size(image)
        longer = max(SIDE, *size) / min(wide, high)
        large = _stretched(image, round(longer * high), round(longer * wide))
        with atomic(picture) as temporary:
            Image.fromarray(drawn(large, rows[:0], rows, names)).save(temporary, "PNG")
        surest: dict[str, float] = {}
        for *_, number, score in rows:
            surest.setdefault(names[int(number)], float(score))
        explained.append(Explanation(image, picture, surest, of or "", bool(len(rows)), len(rows)))
    return explained


def _stretched(image: Path, height: int, width: int) -> Any:
    """The whole image in that size."""
    import numpy as np
    from PIL import Image

    square = Image.fromarray(_read(image, max(height, width), whole=True))
    return np.asarray(square.resize((width, height), Image.Resampling.BILINEAR))


def examine(run: RunFolder) -> Any:
    """Makes the run's examination.npz anew: a `training.Examination` of what its model gets right and wrong.

    Of several labels an image, it is an `AttributeExamination`, and of boxes the `DetectionExamination` of a
    detection.npz.

    Raises:
        UserError: The run has no model or does not say what it was trained on, or the model ranks items.
    """
    from keras_mobilenets.training import load_model

    model, data = load_model(run.trained_model_file()), run.data()
    found = data.task.examine_into(run.folder, model, data, again=True)
    if found is None:
        raise UserError(f"{run.folder} ranks items: keras-mobilenets evaluate {run.folder} says how far in front")
    return found


def _check(images: Sequence[Path], out: str | Path | None) -> None:
    if not images:
        raise UserError("there is nothing to explain: give image files")
    for image in images:
        if not image.is_file():
            hint = f"give its files, such as {image}/*.jpg" if image.is_dir() else "give image files"
            raise UserError(f"{image} {'is a folder' if image.is_dir() else 'does not exist'}; {hint}")
    if out and Path(out).suffix and Path(out).suffix.lower() != ".png":
        raise UserError(f"--out {out}: pictures are written as .png; give such a name, or a folder")
    if out and Path(out).suffix and len(images) > 1:
        raise UserError(f"--out {out} is one file for {len(images)} images; give a folder")


def _read(image: Path, size: int, whole: bool = False) -> Any:
    from keras_mobilenets.pixels.image_decoder import read_image, why_unreadable

    try:
        return read_image(image, size, whole=whole)
    except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError and others
        raise UserError(f"{image} cannot be read: {why_unreadable(error)}; give a JPEG, PNG or WebP file") from error


def _places(images: Sequence[Path], run: RunFolder, out: str | Path | None) -> list[Path]:
    """Where the picture of each image goes; images of one name are told apart by a number."""
    if out and Path(out).suffix:
        return [Path(out)]
    folder, stems = Path(out) if out else run.folder / "explained", [image.stem for image in images]
    numbers = [1 + stems[:place].count(stem) for place, stem in enumerate(stems)]
    return [
        folder / (f"{stem}_{number}.png" if number > 1 else f"{stem}.png")
        for stem, number in zip(stems, numbers, strict=True)
    ]
