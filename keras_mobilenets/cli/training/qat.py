"""`keras-mobilenets qat`."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from keras_mobilenets import pipeline
from keras_mobilenets.cli.output import say
from keras_mobilenets.cli.sources import add_trained_run, is_model, run_of
from keras_mobilenets.cli.startup import import_tensorflow
from keras_mobilenets.cli.training_arguments import add_recipe, recipe_changes
from keras_mobilenets.errors import UserError

PURPOSE = "train a run's model on as int8 will compute it (quantization-aware training), into RUN/qat"
EXAMPLE = """keras-mobilenets qat runs/photos --epochs 2
  keras-mobilenets qat model.h5 --data ~/photos --run runs/mine
  keras-mobilenets qat model.h5 --images ~/unlabelled"""
_IMAGES = 400


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the verb's arguments."""
    add_trained_run(parser)
    parser.add_argument(
        "--left-in-float",
        nargs="+",
        default=[],
        metavar="LAYER",
        help="layers that int8 shall not touch; first and last stand for the first and the last with a kernel",
    )
    parser.add_argument(
        "--freeze-bn-after", type=int, metavar="STEPS", help="BatchNorm statistics stay as they are after so many steps"
    )
    parser.add_argument("--keep", choices=["sparsity", "clusters"], help="train on the run's pruned or clustered model")
    parser.add_argument(
        "--images",
        metavar="DIR",
        help="a folder of unlabelled images: the int8 file of a model file is trained on up to 400 of them with the "
        "float model as teacher, as by `convert --effort high`",
    )
    parser.add_argument("--no-teacher", action="store_true", help="train on the labels alone, not on the float model")
    add_recipe(parser, "default: the run's own, 1 epoch (more of few steps) at a tenth of its learning rate")


def run(options: Namespace) -> None:
    """Quantization-aware training of a run's model."""
    import_tensorflow(options)
    if options.images:
        from keras_mobilenets.tflite.graph import flatbuffer

        path = _unlabelled(options)
        said = flatbuffer.description(path.read_bytes())
        say(f"{path}  {said}; next: keras-mobilenets evaluate {path} --data your_labelled_photos")
        return
    kind = {None: "qat", "sparsity": "pqat", "clusters": "cqat"}[options.keep]
    given = {
        "left_in_float": options.left_in_float,
        "freeze_batch_norm_after": options.freeze_bn_after,
    } | ({"distil": False} if options.no_teacher else {})
    source = run_of(options)
    made = source.compress(kind, given, recipe_changes(options))
    say(f"{made} computes as int8 will; next: keras-mobilenets convert {source.folder}")


def _unlabelled(options: Namespace) -> Path:
    """The int8 file of a model file, trained on unlabelled images."""
    source = Path(options.run)
    if source.is_dir() and not is_model(source):
        raise UserError("--images goes with a model file; a run trains on its own data: leave --images out")
    others = {
        "--data": options.data,
        "--run": options.folder,
        "--keep": options.keep,
        "--no-teacher": options.no_teacher,
        "--freeze-bn-after": options.freeze_bn_after is not None,
        **{f"--{name.replace('_', '-')}": True for name in recipe_changes(options)},
    }
    if given := [flag for flag, value in others.items() if value]:
        raise UserError(f"{', '.join(given)} cannot go with --images, which has no labels and no recipe: leave it out")
    (path,) = pipeline.convert_file(
        source,
        ["int8"],
        _IMAGES,
        data=options.images,
        pixels=options.pixels,
        size=options.size,
        leave_in_float=options.left_in_float,
        effort="high",
    )
    return path
