"""`keras-mobilenets evaluate`."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_mobilenets import pipeline
from keras_mobilenets.cli.output import grid, show
from keras_mobilenets.cli.sources import (
    ADOPTION,
    add_adoption,
    add_pixels,
    add_sources,
    converted,
    is_model,
    tflite_files,
)
from keras_mobilenets.cli.startup import import_tensorflow
from keras_mobilenets.errors import UserError

PURPOSE = "measure the accuracy of .tflite files on the test split: top-1 and top-5, or mAP and F1 of several labels"
EXAMPLE = """keras-mobilenets evaluate runs/photos
  keras-mobilenets evaluate model.h5 --data ~/photos --run runs/mine
  keras-mobilenets evaluate runs/photos --on gpu --limit 200"""

_STREAM = 200  # recordings


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the verb's arguments."""
    add_sources(parser, "run folders, .tflite files or model files")
    add_pixels(parser)
    add_adoption(parser, "test images (default: of the run's data)")
    parser.add_argument("--limit", type=int, metavar="N", help="at most N images (nothing is recorded then)")
    parser.add_argument(
        "--stream",
        action="store_true",
        help="instead: slide over a long recording made of test recordings; words found, false alarms an hour",
    )
    parser.add_argument(
        "--on",
        default="cpu",
        metavar="TARGET",
        help="run them on a target too and compare with the CPU, such as gpu or reference; keras-mobilenets targets "
        "lists them (nothing is recorded then)",
    )


def run(options: Namespace) -> None:
    """Scores .tflite files; a run's figures go into its results.json."""
    import_tensorflow(options)
    from keras_mobilenets import tflite, training
    from keras_mobilenets.pixels.batches import frames_of
    from keras_mobilenets.tflite.measurement.accuracy import has_several, input_shape
    from keras_mobilenets.tflite.results.tables import scores
    from keras_mobilenets.tflite.runtime.input_scaling import features_of_file, scaling_of_file, takes_pixels

    for given, source in zip(
        options.sources, converted(options.sources, options, ADOPTION.keys() - {"folder"}), strict=True
    ):
        # What a model file's options say is its run's own now.
        aside = options.limit or options.on != "cpu" or options.stream
        if source.is_dir() and not (aside or (not is_model(given) and (options.data or options.pixels))):
            rows = pipeline.Run(source).evaluate()
            for row in rows:
                print(f"{row.model}: {scores(row)}")
            if any(row.per_class for row in rows):
                show(_per_class(rows))
            continue
        if source.is_dir():
            data = pipeline.Run(source).data(options.data, options.data_dir)
        elif options.data:
            size, frames = _image_size(source, options.size), frames_of(input_shape(source))
            data = training.load_data(options.data, size, data_dir=options.data_dir, frames=frames)
        else:
            raise UserError(f"what shall {source} be tested on? give --data shapes, a folder of images or a TFDS name")
        if options.stream:
            stream = training.stream_of(data, options.limit or _STREAM)
            for path in tflite_files([source]):
                print(f"{path}: {tflite.evaluate_stream(path, stream)}")
            continue
        for path in tflite_files([source]):
            pixels = scaling_of_file(path, options.pixels) if takes_pixels(path) else None
            test = data.scaled(pixels or features_of_file(path)).test
            several = has_several(data)
            result = tflite.evaluate(path, test, limit=options.limit, pixels=pixels, on=options.on, several=several)
            print(f"{path}: {result}")


def _per_class(rows: Sequence[Any]) -> Any:
    """Average precision and F1 of each class, a pair of columns for each file."""
    from keras_mobilenets.tflite.results.tables import are_compressed, percent, variant_name

    known = [row for row in {row.model: row for row in rows}.values() if row.per_class]
    names = [variant_name(row, among_compressed=are_compressed(known)) for row in known]
    table = grid("class", *(f"{name}\n{figure}" for name in names for figure in ("AP", "F1")))
    for label in known[0].per_class:
        figures = [row.per_class.get(label, {}).get(key) for row in known for key in ("average_precision", "f1")]
        table.add_row(label, *map(percent, figures))
    return table


def _image_size(path: Path, asked: int | None) -> int | None:
    """The height of the images that a .tflite takes, or the samples of a waveform."""
    from keras_mobilenets.pixels.batches import side_of
    from keras_mobilenets.tflite.measurement.accuracy import input_shape
    from keras_mobilenets.tflite.runtime.input_scaling import features_of_file

    height = side_of(input_shape(path))
    if features_of_file(path):
        return asked
    if height == -1 and asked is None:
        raise UserError(f"{path} takes images of any size; give --size, such as 224")
    if height != -1 and asked not in (None, height):
        raise UserError(f"{path} takes images of height {height}, not {asked}; leave out --size")
    return height if asked is None else asked
