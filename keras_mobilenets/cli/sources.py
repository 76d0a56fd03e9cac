"""The arguments that name what a verb works on: run folders and .tflite files."""

from argparse import ArgumentParser, Namespace
from collections.abc import Collection, Sequence
from pathlib import Path

from keras_mobilenets import pipeline
from keras_mobilenets.cli.output import say
from keras_mobilenets.cli.startup import import_tensorflow
from keras_mobilenets.errors import UserError

MODEL_FILES = (".keras", ".h5", ".hdf5")
# What is said of a model file.
ADOPTION = {"data": "--data", "data_dir": "--data-dir", "size": "--size", "folder": "--run", "pixels": "--pixels"}


def add_run(parser: ArgumentParser) -> None:
    """Adds the folder that is filled."""
    parser.add_argument("--run", required=True, metavar="DIR", help="the run folder; made when missing")


def add_trained_run(parser: ArgumentParser) -> None:
    """Adds the folder that is there, or the model file that becomes one."""
    parser.add_argument("run", metavar="RUN|FILE", help="run folder that `train` filled, or a model file")
    add_pixels(parser)
    add_adoption(parser)


def add_sources(parser: ArgumentParser, kinds: str = "run folders or .tflite files") -> None:
    """Adds .tflite files and folders of them, and what else the verb takes."""
    parser.add_argument("sources", nargs="+", metavar="RUN|FILE", help=kinds)


def add_adoption(parser: ArgumentParser, data: str = "what it was trained on", has_size: bool = True) -> None:
    """Adds what a model file does not say; its image size too, where the verb has no option of that name."""
    group = parser.add_argument_group("model file", f"of another training: {', '.join(MODEL_FILES)}, or a SavedModel")
    group.add_argument("--data", help=f"{data}: shapes, a TFDS name or a folder of class folders")
    group.add_argument("--data-dir", help="where TFDS data sets are kept")
    group.add_argument(
        "--run",
        dest="folder",
        metavar="DIR",
        help="its run folder, made when missing (default: beside it, of its name)",
    )
    if has_size:
        group.add_argument("--size", type=int, metavar="N", help="height and width of its images, where it takes any")


def add_pixels(parser: ArgumentParser) -> None:
    """Adds what the model's input means."""
    parser.add_argument(
        "--pixels",
        metavar="RANGE",
        help="what the model's input means: -1..1, 0..1, 0..255, imagenet, or mean/std such as 127.5/127.5 "
        "(default: what the model, the file or the run says)",
    )


def run_of(options: Namespace) -> "pipeline.Run":
    """The run that a verb works on; what is said of its pixels is recorded there."""
    if is_model(options.run):
        return adopted(options.run, options)
    _refuse_unused(options, ("pixels",))
    found = pipeline.Run(options.run)
    if options.pixels:
        found.say_pixels(options.pixels)
    return found


def is_model(source: str | Path) -> bool:
    """Whether a source is a Keras model that stands outside of a run folder."""
    path = Path(source)
    return (path / "saved_model.pb").is_file() if path.is_dir() else path.suffix.lower() in MODEL_FILES


def adopted(source: str | Path, options: Namespace) -> "pipeline.Run":
    """The run that a model file becomes."""
    import_tensorflow(options)
    path = Path(source)
    beside = path.with_suffix("") if path.suffix else path.with_name(f"{path.name}_run")
    found = pipeline.Run(options.folder or beside)
    size = options.size[0] if isinstance(options.size, list) else options.size
    found.adopt(path, data=options.data, image_size=size, data_dir=options.data_dir, pixels=options.pixels)
    say(f"{found.folder} is the run folder of {path}")
    return found


def converted(sources: Sequence[str | Path], options: Namespace, own: Collection[str] = ()) -> list[Path]:
    """Sources with a run folder of .tflite files in the place of each model file; `own` as in `_refuse_unused`."""
    found = [Path(source) for source in sources]
    models = sum(map(is_model, found))
    if models > 1 and options.folder:
        raise UserError("--run is the folder of one model file, and several are given; leave it out")
    if not models:
        _refuse_unused(options, own)
    for place, source in enumerate(found):
        if is_model(source):
            run = adopted(source, options)
            found[place] = run.folder
            run.convert([q for q in pipeline.USUAL if q != "int8" or "data" in run.asked])  # which is calibrated
    return found


def _refuse_unused(options: Namespace, own: Collection[str]) -> None:
    """Refuses what is said of a model file where there is none; `own` are options that the verb has for others too."""
    for name, option in ADOPTION.items():
        if name not in own and getattr(options, name) is not None:
            raise UserError(f"{option} goes with a model file ({', '.join(MODEL_FILES)}), and none is given")


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
