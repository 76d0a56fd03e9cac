"""`keras-mobilenets explain`."""

import math
from argparse import ArgumentParser, Namespace
from typing import Any

from keras_mobilenets import pipeline
from keras_mobilenets.cli.output import grid, say, show
from keras_mobilenets.cli.sources import add_trained_run, run_of
from keras_mobilenets.cli.startup import import_tensorflow
from keras_mobilenets.errors import UserError
from keras_mobilenets.plurals import count

PURPOSE = "what a run's model says of images and what drew it to that, or its boxes; without images, what it gets wrong"
EXAMPLE = """keras-mobilenets explain runs/photos cat.jpg dog.jpg
  keras-mobilenets explain model.h5 cat.jpg
  keras-mobilenets explain runs/photos"""
TOP = 3  # classes that are named
WORST = 5  # classes and pairs that are listed


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the verb's arguments."""
    add_trained_run(parser)
    parser.add_argument("images", nargs="*", metavar="IMAGE", help="image files; each gets a picture with its heat")
    parser.add_argument(
        "--class", dest="of", metavar="NAME", help="what speaks for this class (default: for the answer)"
    )
    parser.add_argument("--layer", metavar="NAME", help="whose feature map is seen (default: the last of 4×4 or more)")
    parser.add_argument("--out", metavar="FILE|DIR", help="where pictures go (default: the folder RUN/explained)")


def run(options: Namespace) -> None:
    """Shows what drew a run's model to its answers, or what it gets wrong."""
    import_tensorflow(options)
    source = run_of(options)
    if not options.images:
        if options.out:
            raise UserError("--out is where pictures go: give images too")
        if options.of or options.layer:
            raise UserError("--class and --layer are about pictures: give images too")
        return _show_mistakes(source)
    for found in source.explain(options.images, options.of, options.layer, options.out):
        if found.boxes is not None:
            _say_boxes(found)
            continue
        said = ", ".join(f"{name} {share:.1%}" for name, share in list(found.shares.items())[:TOP])
        nothing = "" if found.is_drawn else ", for which nothing in it speaks"
        print(f"{found.image}: {said}; {found.picture} shows what speaks for {found.of}{nothing}")


def _say_boxes(found: Any) -> None:
    """What a detector found in an image."""
    surest = ", ".join(f"{name} {score:.1%}" for name, score in list(found.shares.items())[:TOP])
    boxes = count(found.boxes, f"{found.of} box".strip()) if found.boxes else f"no {found.of} box".replace("  ", " ")
    print(f"{found.image}: {boxes}{f', surest {surest}' if surest else ''}; {found.picture} shows what was found")


def _show_mistakes(source: "pipeline.Run") -> None:
    """Makes the run's examination.npz anew and prints what stands out."""
    found = source.examine()
    if hasattr(found, "average_precision"):
        return _show_labels(source, found)
    if hasattr(found, "map50"):
        return _show_detections(source, found)
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
    say(f"next: keras-mobilenets report {source.folder} shows all of it")


def _show_labels(source: "pipeline.Run", found: Any) -> None:
    """Prints what stands out of a model of several labels an image."""
    print(f"on {found.count:,} {found.split} images the mean average precision is {found.map:.1%}")
    labels, worst = grid("class", "images", "AP", "F1"), found.average_precision.argsort()[:WORST]
    for number in worst:
        area, f1, images = found.average_precision[number], found.f1[number], found.truth[:, number].sum()
        labels.add_row(found.class_names[number], f"{images:,}", f"{area:.1%}", f"{f1:.1%}")
    show(labels)
    say(f"next: keras-mobilenets report {source.folder} shows all of it")


def _show_detections(source: "pipeline.Run", found: Any) -> None:
    """Prints what stands out of a detector."""
    sizes = ", ".join(f"{name} {value:.1%}" for name, value in found.by_size.items() if math.isfinite(value))
    print(
        f"on {found.count:,} {found.split} images mAP@0.5 is {found.map50:.1%} and mAP {found.map:.1%}"
        f"{f', of boxes by size {sizes}' if sizes else ''}"
    )
    classes = grid("class", "AP@0.5")
    known = [number for number in found.by_class.argsort() if math.isfinite(found.by_class[number])]
    for number in known[:WORST]:
        classes.add_row(found.class_names[number], f"{found.by_class[number]:.1%}")
    show(classes)
    say(f"next: keras-mobilenets report {source.folder} shows all of it, and the worst misses")
