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
