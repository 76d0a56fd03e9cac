"""`explain`: what a run's model says of images and what drew it to that; without images, what it gets wrong."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_mobilenets.cli.output import grid, say, show
from keras_mobilenets.errors import UserError, unknown
from keras_mobilenets.pipeline.run import Run

SIDE = 384  # pixels of a picture at least, so that small inputs can be seen
TOP = 3  # classes that are named
WORST = 5  # classes and pairs that are listed


def explain(options: Namespace) -> None:
    """Explains images, or examines the run."""
    run = Run(options.run)
    if not run.model_file.exists():
        raise UserError(f"{run.folder} holds no model.keras; run keras-mobilenets train --run {run.folder}")
    images = [Path(image) for image in options.images]
    _check(images, options.out)
    names = run.asked.get("data", {}).get("class_names", [])
    if options.of and options.of not in names:
        raise unknown("class", options.of, names, str(run.folder / "run.json"))
    from keras_mobilenets.training import load_model

    model = load_model(run.model_file)
    if images:
        _explain(model, names or [str(number) for number in range(model.output_shape[-1])], images, run, options)
    else:
        _examine(model, run)


def _explain(model: Any, names: Sequence[str], images: Sequence[Path], run: Run, options: Namespace) -> None:
    """Prints what the model says of each image and writes the image beside its heat."""
    import numpy as np
    from PIL import Image

    from keras_mobilenets.files import atomic
    from keras_mobilenets.training import grad_cam, overlay
    from keras_mobilenets.training.evaluation.examination import probabilities

    size = model.input_shape[1] or run.asked["data"]["image_size"]
    shown = [_read(image, max(size, SIDE)) for image in images]
    pixels = np.stack([_read(image, size) for image in images])
    shares = probabilities(model, pixels)
    classes = shares.argmax(axis=1) if options.of is None else np.full(len(images), names.index(options.of))
    heat = grad_cam(model, pixels, classes, options.layer)
    for image, path, large, share, number, warm in zip(
        images, _places(images, run, options.out), shown, shares, classes, heat, strict=True
    ):
        warm = np.asarray(Image.fromarray(warm).resize(large.shape[1::-1], Image.Resampling.BILINEAR))
        with atomic(path) as temporary:
            Image.fromarray(np.hstack([large, overlay(large, warm)])).save(temporary, "PNG")
        said = ", ".join(f"{names[best]} {share[best]:.1%}" for best in np.argsort(-share)[:TOP])
        nothing = "" if warm.any() else ", for which nothing in it speaks"
        print(f"{image}: {said}; {path} shows what speaks for {names[number]}{nothing}")


def _examine(model: Any, run: Run) -> None:
    """Makes the run's examination.npz anew and prints what stands out."""
    from keras_mobilenets.training.evaluation.examination import examine_into

    found = examine_into(run.folder, model, run.data(), again=True)
    print(f"{found.top1:.1%} of {found.count:,} {found.split} images are right, {found.mistakes:,} are wrong")
    classes = grid("class", "images", "recall", "precision")
    recall, precision = found.recall, found.precision
    for number in sorted(range(len(recall)), key=lambda number: recall[number])[:WORST]:
        images = found.confusion[number].sum()
        classes.add_row(found.class_names[number], f"{images:,}", f"{recall[number]:.1%}", f"{precision[number]:.1%}")
    pairs = grid("class", "predicted as", "images")
    for true, said, times in found.most_confused(WORST):
        pairs.add_row(found.class_names[true], found.class_names[said], f"{times:,}")
    show(classes, pairs)
    say(f"next: keras-mobilenets report {run.folder} shows all of it")


def _check(images: Sequence[Path], out: str | None) -> None:
    for image in images:
        if not image.is_file():
            hint = f"give its files, such as {image}/*.jpg" if image.is_dir() else "give image files"
            raise UserError(f"{image} {'is a folder' if image.is_dir() else 'does not exist'}; {hint}")
    if out and not images:
        raise UserError("--out is where pictures go: give images too")
    if out and Path(out).suffix and Path(out).suffix.lower() != ".png":
        raise UserError(f"--out {out}: pictures are written as .png; give such a name, or a folder")
    if out and Path(out).suffix and len(images) > 1:
        raise UserError(f"--out {out} is one file for {len(images)} images; give a folder")


def _read(image: Path, size: int) -> Any:
    from keras_mobilenets.training.datasets.image_decoder import read_image, why_unreadable

    try:
        return read_image(image, size)
    except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError and others
        raise UserError(f"{image} cannot be read: {why_unreadable(error)}; give a JPEG, PNG or WebP file") from error


def _places(images: Sequence[Path], run: Run, out: str | None) -> list[Path]:
    """Where the picture of each image goes; images of one name are told apart by a number."""
    if out and Path(out).suffix:
        return [Path(out)]
    folder, stems = Path(out) if out else run.folder / "explained", [image.stem for image in images]
    numbers = [1 + stems[:place].count(stem) for place, stem in enumerate(stems)]
    return [
        folder / (f"{stem}_{number}.png" if number > 1 else f"{stem}.png")
        for stem, number in zip(stems, numbers, strict=True)
    ]
