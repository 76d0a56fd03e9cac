"""The arguments that name what a verb works on: run folders and .tflite files."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from keras_mobilenets import pipeline


def add_run(parser: ArgumentParser) -> None:
    """Adds the folder that is filled."""
    parser.add_argument("--run", required=True, metavar="DIR", help="the run folder; made when missing")


def add_trained_run(parser: ArgumentParser) -> None:
    """Adds the folder that is there."""
    parser.add_argument("run", metavar="RUN", help="run folder that `train` filled")


def add_sources(parser: ArgumentParser) -> None:
    """Adds .tflite files and folders of them."""
    parser.add_argument("sources", nargs="+", metavar="RUN|FILE", help="run folders or .tflite files")


def add_pixels(parser: ArgumentParser) -> None:
    """Adds what the model's input means."""
    parser.add_argument(
        "--pixels",
        metavar="RANGE",
        help="what the model's input means: -1..1, 0..1, 0..255, imagenet, or mean/std such as 127.5/127.5 "
        "(default: what the model, the file or the run says)",
    )


def run_of(options: Namespace) -> pipeline.Run:
    """The run folder that a verb works on; what is said of its pixels is recorded there."""
    found = pipeline.Run(options.run)
    if options.pixels:
        found.say_pixels(options.pixels)
    return found


def tflite_files(sources: Sequence[str | Path]) -> list[Path]:
    """The files themselves, and those of folders."""
    return [path for s in map(Path, sources) for path in (pipeline.Run(s).tflite_files() if s.is_dir() else [s])]


def add_size(parser: ArgumentParser) -> None:
    """Adds the sizes of inputs that leave them open."""
    parser.add_argument(
        "--size",
        type=int,
        nargs="+",
        metavar="N",
        help="height and width, or one number for all, of an input whose sizes the file leaves open",
    )


def input_shape(options: Namespace) -> int | Sequence[int] | None:
    """What `--size` says."""
    return options.size[0] if options.size and len(options.size) == 1 else options.size


def add_threads(parser: ArgumentParser) -> None:
    """Adds the numbers of CPU threads."""
    parser.add_argument(
        "--threads",
        type=int,
        nargs="+",
        default=[1],
        metavar="N",
        help="CPU threads; with several numbers, all models take turns with each (default: 1)",
    )
