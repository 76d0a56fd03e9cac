"""The verbs' arguments. Nothing heavy is imported here, so that --help answers at once."""

import argparse
import dataclasses
import importlib
from collections.abc import Callable
from typing import Any, NoReturn

from keras_mobilenets import __version__
from keras_mobilenets.pipeline.run import MADE_FROM
from keras_mobilenets.tflite.results.tables import COMPRESSIONS
from keras_mobilenets.training.recipe import AUGMENTATIONS, OPTIMIZERS, PRECISIONS, RECIPES, SCHEDULES, Recipe


class _Parser(argparse.ArgumentParser):
    def __init__(self, **settings: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **settings)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def make_parser() -> argparse.ArgumentParser:
    """The parser of all verbs; each sets `verb`, the function that carries it out."""
    parser = _Parser(
        prog="keras-mobilenets",
        description="Mobile vision models from a Keras builder to a number on a phone.",
        epilog="example:\n  keras-mobilenets pipeline MobileNetV2 --alpha 0.5 --data shapes --size 64 --run runs/demo",
    )
    parser.add_argument("--version", action="version", version=f"keras_mobilenets {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error and TensorFlow's log")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)

    def verb(name: str, purpose: str, example: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=purpose, description=purpose, epilog=f"example:\n  {example}")
        added.set_defaults(verb=_lazy(name), name=name)
        return added

    add = verb(
        "models",
        "list every model with its published figures",
        "keras-mobilenets models --max-params 4M --max-macs 300M --sort top1",
    )
    _add_limits(add)
    add.add_argument("--sort", default="", metavar="BY", help="top1 (best first), parameters or macs (least first)")

    add = verb(
        "choose",
        "pick a model for a phone and say why",
        "keras-mobilenets choose --target nnapi --max-size-mb 4 --task accuracy",
    )
    _add_limits(add)
    add.add_argument("--target", default="nnapi", help="what runs the model: nnapi, xnnpack or gpu (default: nnapi)")
    add.add_argument("--task", default="balanced", help="accuracy, balanced or speed (default: balanced)")
    add.add_argument("--max-size-mb", type=_count, default=float("inf"), metavar="MB", help="of the .tflite, at most")

    add = verb(
        "summary",
        "print a model's layers with parameters and multiply-adds",
        "keras-mobilenets summary MobileNetV2 --alpha 0.5 --size 224",
    )
    _add_model(add, size=224)
    add.add_argument("--classes", type=int, default=1000, help="number of classes (default: 1000)")
    add.add_argument(
        "--compare",
        action="store_true",
        help="instead of the layers: what depthwise separable convolutions save beside standard ones",
    )

    add = verb(
        "train",
        "train a model into a run folder; a killed training goes on where it was",
        "keras-mobilenets train MobileNetV2 --alpha 0.5 --data ~/my_photos --size 96 --run runs/photos\n\n"
        "example with two processes, the first of them on 10.0.0.1, the second with --process-id 1:\n"
        "  keras-mobilenets train MobileNetV2 --data ~/my_photos --run runs/photos \\\n"
        "      --distributed --coordinator 10.0.0.1:7000 --processes 2 --process-id 0",
    )
    _add_model(add)
    _add_training(add)
    _add_transfer(add)
    _add_run(add)
    _add_distributed(add)

    add = verb(
        "distill",
        "train a small model on what a large one says of each image, beside the labels",
        "keras-mobilenets distill MobileNetV3Small --teacher runs/large --data ~/my_photos --size 96 --run runs/small",
    )
    _add_model(add)
    add.add_argument(
        "--teacher", required=True, metavar="RUN|FILE", help="run folder or .keras file of the trained large model"
    )
    add.add_argument("--temperature", type=float, default=4.0, metavar="T", help="softens both (default: 4)")
    add.add_argument(
        "--teacher-share", type=float, default=0.7, metavar="ALPHA", help="of the loss, 0 to 1 (default: 0.7)"
    )
    add.add_argument(
        "--cached-views",
        type=int,
        metavar="N",
        help="show each image in N fixed augmented views, ask the teacher once about each (default: new ones)",
    )
    add.add_argument("--cache-file", metavar="FILE", help="where its answers are kept (default: in the run folder)")
    add.add_argument(
        "--weights", metavar="SOURCE", help="the student starts from imagenet, or from a file (default: from scratch)"
    )
    _add_training(add)
    _add_run(add)

    add = verb(
        "qat",
        "train a run's model on as int8 will compute it (quantization-aware training), into RUN/qat",
        "keras-mobilenets qat runs/photos --epochs 2",
    )
    _add_trained_run(add)
    add.add_argument(
        "--left-in-float",
        nargs="+",
        default=[],
        metavar="LAYER",
        help="layers that int8 shall not touch; first and last stand for the first and the last with a kernel",
    )
    add.add_argument(
        "--freeze-bn-after", type=int, metavar="STEPS", help="BatchNorm statistics stay as they are after so many steps"
    )
    add.add_argument("--keep", choices=["sparsity", "clusters"], help="train on the run's pruned or clustered model")
    add.add_argument("--no-teacher", action="store_true", help="train on the labels alone, not on the float model")
    _add_recipe(add, "default: the run's own, 1 epoch at a tenth of its learning rate")

    add = verb(
        "prune",
        "turn weights into zeros, or (--macs) remove whole channels, and train on; into RUN/prune or RUN/channels",
        "keras-mobilenets prune runs/photos --sparsity 0.75\n  keras-mobilenets prune runs/photos --macs 0.5 --steps 3",
    )
    _add_trained_run(add)
    group = add.add_argument_group("weights")
    group.add_argument(
        "--sparsity", type=float, default=0.75, metavar="SHARE", help="of zeros in each pruned kernel (default: 0.75)"
    )
    group.add_argument(
        "--sparsity-schedule", choices=["polynomial", "constant"], default="polynomial", help="how sparsity grows"
    )
    group.add_argument("--pattern", choices=["2:4"], help="two zeros in every four neighbouring input channels")
    group.add_argument(
        "--by-layer", action="store_true", help="that share over all, more in the layers that a scan finds insensitive"
    )
    group = add.add_argument_group("channels")
    group.add_argument(
        "--macs", type=float, metavar="SHARE", help="of the multiply-adds that shall remain, such as 0.5"
    )
    group.add_argument(
        "--importance", default="bn_scale", metavar="NAME", help="bn_scale, l1 or taylor (default: bn_scale)"
    )
    group.add_argument(
        "--steps", type=int, default=1, metavar="N", help="prune and train in so many turns (default: 1)"
    )
    _add_recipe(add, "default: the run's own, 3 epochs at about half of its learning rate")

    add = verb(
        "explain",
        "what a run's model says of images and what drew it to that (Grad-CAM); without images, what it gets wrong",
        "keras-mobilenets explain runs/photos cat.jpg dog.jpg\n  keras-mobilenets explain runs/photos",
    )
    _add_trained_run(add)
    add.add_argument("images", nargs="*", metavar="IMAGE", help="image files; each gets a picture with its heat")
    add.add_argument("--class", dest="of", metavar="NAME", help="what speaks for this class (default: for the answer)")
    add.add_argument("--layer", metavar="NAME", help="whose feature map is seen (default: the last of 4×4 or more)")
    add.add_argument("--out", metavar="FILE|DIR", help="where pictures go (default: the folder RUN/explained)")

    add = verb(
        "convert",
        "convert a trained model to .tflite files",
        "keras-mobilenets convert runs/photos --quantize float32 int8",
    )
    add.add_argument("source", metavar="RUN", help="run folder, or a .keras file")
    _add_conversion(add)
    add.add_argument("--data", help="calibration images: shapes, a TFDS name or a folder (default: the run's data)")
    add.add_argument("--data-dir", help="where TFDS data sets are kept")
    add.add_argument(
        "--out", metavar="DIR", help="folder of the .tflite files (default: the run, or beside the .keras)"
    )

    add = verb(
        "errors",
        "how far each int8 activation of a run is from float; also into RUN/layer_errors.json",
        "keras-mobilenets errors runs/photos --worst 20",
    )
    _add_trained_run(add)
    add.add_argument("--worst", type=int, default=10, metavar="N", help="activations to show (default: 10)")
    add.add_argument("--limit", type=int, default=64, metavar="N", help="validation images (default: 64)")

    add = verb(
        "sensitivity",
        "quantize a run's model layer by layer and show which layers int8 hurts most",
        "keras-mobilenets sensitivity runs/photos --by block",
    )
    _add_trained_run(add)
    add.add_argument("--by", choices=["layer", "block"], default="layer", help="what is quantized at a time")
    add.add_argument("--limit", type=int, default=64, metavar="N", help="validation images (default: 64)")

    add = verb("inspect", "show what is in .tflite files", "keras-mobilenets inspect runs/photos")
    _add_sources(add)
    add.add_argument("--operators", action="store_true", help="also list every operator with its tensors")
    add.add_argument(
        "--nnapi", type=int, metavar="LEVEL", help="also say which operators NNAPI takes at this API level, 27 to 35"
    )
    add.add_argument("--gpu", action="store_true", help="also say which operators the GPU delegate takes")

    add = verb(
        "evaluate",
        "measure top-1 and top-5 accuracy of .tflite files on the test split",
        "keras-mobilenets evaluate runs/photos",
    )
    _add_sources(add)
    add.add_argument("--data", help="shapes, a TFDS name or a folder (default: the run's data)")
    add.add_argument("--data-dir", help="where TFDS data sets are kept")
    add.add_argument("--limit", type=int, metavar="N", help="at most N images (nothing is recorded then)")

    add = verb(
        "benchmark",
        "measure the latency of .tflite files on this CPU",
        "keras-mobilenets benchmark runs/photos --threads 1 2 --peers\n"
        "  keras-mobilenets benchmark runs/photos --baseline old.json --fail-over 5%\n"
        "  keras-mobilenets benchmark model.tflite --profile",
    )
    add.add_argument(
        "sources", nargs="+", metavar="FOLDER|FILE", help="run folders, folders of .tflite files, or files"
    )
    _add_timing(add)
    add.add_argument("--again", action="store_true", help="measure again what was measured before")
    add.add_argument(
        "--peers",
        action="store_true",
        help="beside keras.applications' model through the stock converter (of a run folder)",
    )
    add.add_argument("--profile", action="store_true", help="instead: which operators the time goes into")
    add.add_argument("--out", metavar="FILE", help="the results.json (default: in the folder; none for single files)")
    add.add_argument("--no-page", action="store_true", help="leave out report.html, the page with the plots")
    group = add.add_argument_group("continuous integration")
    group.add_argument("--baseline", metavar="FILE", help="an earlier results.json: measure again and compare")
    group.add_argument(
        "--fail-over",
        type=_share,
        default=0.05,
        metavar="SHARE",
        help="exit with code 1 when a median is slower by more than this, 5%% or 0.05 (default: 5%%)",
    )

    add = verb(
        "report",
        "write one page about runs and results.json files, of this machine and of phones",
        "keras-mobilenets report runs/photos pixel8/results.json --out report.html",
    )
    add.add_argument("runs", nargs="+", metavar="RUN|FILE", help="run folders, or results.json files such as a phone's")
    add.add_argument("--out", metavar="FILE", help="the page (default: report.html in the run folder)")

    add = verb(
        "pipeline",
        "train, convert, evaluate, benchmark and report; what is there and up to date is skipped",
        "keras-mobilenets pipeline MobileNetV2 --alpha 0.5 --data shapes --size 64 --run runs/demo",
    )
    _add_model(add)
    _add_training(add)
    _add_transfer(add)
    _add_run(add)
    group = add.add_argument_group("compression")
    group.add_argument(
        "--compress",
        type=_kinds,
        default={},
        metavar="LIST",
        help=f"also make these from the model: {', '.join(['ptq', *COMPRESSIONS])}; write qat:2 for 2 epochs",
    )
    group.add_argument("--sparsity", type=float, default=0.75, metavar="SHARE", help="of prune (default: 0.75)")
    group.add_argument("--macs", type=float, default=0.5, metavar="SHARE", help="of channels (default: 0.5)")
    _add_conversion(add)
    _add_timing(add)

    from keras_mobilenets.cli.android_arguments import add_android  # which builds on this module

    add_android(verbs)
    return parser


def _lazy(name: str) -> Callable[[argparse.Namespace], int | None]:
    def run(options: argparse.Namespace) -> int | None:
        return getattr(importlib.import_module("keras_mobilenets.cli.verbs"), name)(options)

    return run


def _count(text: str) -> float:
    """A positive number that may end in K, M or G: "300M"."""
    units = {"K": 1e3, "M": 1e6, "G": 1e9}
    try:
        value = float(text[:-1]) * units[text[-1].upper()] if text[-1:].upper() in units else float(text)
    except ValueError:
        value = 0.0
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number such as 4M, 300M or 1.5G")
    return value


def _share(text: str) -> float:
    """A share such as "5%" or "0.05"."""
    try:
        value = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < (10 if text.endswith("%") else 1):
        raise argparse.ArgumentTypeError(f"{text!r} is not a share such as 5% or 0.05")
    return value


def _kinds(text: str) -> dict[str, int | None]:
    """Compressions with their epochs: "ptq,qat,prune:2"; what one of them starts from is put before it."""
    known, given = ("ptq", *COMPRESSIONS), {}
    for part in filter(None, text.replace(" ", "").split(",")):
        name, colon, epochs = part.partition(":")
        if name not in known:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        if colon and not (epochs.isdigit() and int(epochs)):
            raise argparse.ArgumentTypeError(f"{part!r}: write the epochs as {name}:2")
        given[name] = int(epochs) if colon else None
    wanted = {MADE_FROM[name]: None for name in given if name in MADE_FROM} | given
    return {name: wanted[name] for name in known if name in wanted}


def _add_limits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-params", type=_count, default=float("inf"), metavar="N", help="parameters at most, such as 4M"
    )
    parser.add_argument(
        "--max-macs", type=_count, default=float("inf"), metavar="N", help="multiply-adds at most, such as 300M"
    )
    parser.add_argument("--family", default="", metavar="NAME", help="only models whose name contains this")


def _add_model(parser: argparse.ArgumentParser, size: int | None = None) -> None:
    group = parser.add_argument_group("model")
    group.add_argument("model", metavar="MODEL", help="a name that `keras-mobilenets models` lists")
    group.add_argument("--alpha", type=float, help="width multiplier (default: 1.0)")
    usual = size or "the data set's usual one, such as 32 of cifar10; 64 of a folder"
    group.add_argument("--size", type=int, default=size, metavar="PIXELS", help=f"side of the input (default: {usual})")
    group.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="ARGUMENT=VALUE",
        help="any further argument of the builder, such as stem_strides=1",
    )


def _add_training(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("training")
    group.add_argument(
        "--data",
        default="shapes",
        help="shapes (embedded), a folder of class folders, or a TFDS name (default: shapes)",
    )
    group.add_argument("--data-dir", help="where TFDS data sets are kept")
    group.add_argument("--batch-size", type=int, metavar="N", help="images per step (default: 64, or the recipe's)")
    group.add_argument(
        "--recipe",
        default="default",
        choices=list(RECIPES),
        help="what the options below change: "
        + "; ".join(f"{name}, {named.description}" for name, named in RECIPES.items()).replace("%", "%%"),
    )
    group.add_argument(
        "--checkpoint-seconds",
        type=float,
        metavar="SECONDS",
        help="between checkpoints within an epoch; there is one after each epoch, too (default: 60)",
    )
    _add_fields(group, lambda field: f"(default: {_shown(field.default)})")


def _add_recipe(parser: argparse.ArgumentParser, says: str) -> None:
    _add_fields(parser.add_argument_group("training", says), lambda field: "")


def _add_transfer(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("transfer learning", "the head first, then all blocks that are not frozen")
    group.add_argument(
        "--weights", metavar="SOURCE", help="imagenet, or a file such as runs/other/model.keras (default: none)"
    )
    group.add_argument("--freeze", type=int, metavar="N", help="the stem and N blocks keep their weights (default: 0)")
    group.add_argument("--head-epochs", type=int, metavar="N", help="of the head alone, before --epochs (default: 3)")


# What the fields of a recipe are, in a few words; its docstring says more.
RECIPE_WORDS = {
    "epochs": "passes over the training split",
    "optimizer": ", ".join(OPTIMIZERS),
    "learning_rate": "its peak",
    "warmup_epochs": "it rises from 0 over so many",
    "schedule": "behind the warm-up: " + ", ".join(SCHEDULES),
    "weight_decay": "decoupled; none for biases, BatchNorm, depthwise kernels",
    "label_smoothing": "0 to below 1",
    "augmentation": f"of {', '.join(AUGMENTATIONS)}, joined by +, with a strength behind a colon: flip+randaugment:9",
    "dropout": "the rate of the model's dropout layers",
    "stochastic_depth": "how often the last residual branch is left out",
    "ema_epochs": "weights are averaged over about so many",
    "bn_momentum": "of BatchNorm's statistics",
    "precision": ", ".join(PRECISIONS),
    "accumulate": "batches whose gradients make one step, for small memory",
    "stages": "progressive learning: images and regularization grow in so many",
    "initial_size": "share of --size in the first stage",
    "initial_regularization": "share of dropout and strengths in the first stage",
    "seed": "of weights, order and augmentation",
}


def _shown(default: Any) -> str:
    return "the model's" if default is None else f"{default:.3g}" if isinstance(default, float) else str(default)


def _add_fields(group: Any, says: Callable[[Any], str]) -> None:
    for field in dataclasses.fields(Recipe):
        kind = {int: int, float: float, str: str}.get(field.type, float)  # type: ignore[arg-type]
        group.add_argument(
            f"--{field.name.replace('_', '-')}",
            dest=f"recipe_{field.name}",
            type=kind,
            metavar=kind.__name__.upper().replace("STR", "NAME"),
            help=f"{RECIPE_WORDS[field.name]} {says(field)}".strip(),
        )


def _add_trained_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="run folder that `train` filled")


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", required=True, metavar="DIR", help="the run folder; made when missing")


def _add_distributed(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "several processes", "on one machine or many, by JAX; each is started with the same arguments but --process-id"
    )
    group.add_argument("--distributed", action="store_true", help="this is one of several; needs the next three")
    group.add_argument("--coordinator", metavar="HOST:PORT", help="where process 0 listens")
    group.add_argument("--processes", type=int, metavar="N", help="how many there are; --batch-size is of all together")
    group.add_argument("--process-id", type=int, metavar="I", help="0 to N-1; process 0 alone writes the run folder")
    group.add_argument(
        "--join-seconds", type=float, metavar="SECONDS", help="to wait for the others at the start (default: 300)"
    )


def _add_conversion(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("conversion")
    group.add_argument(
        "--quantize",
        nargs="+",
        default=["float32", "float16", "int8"],
        choices=["float32", "float16", "dynamic", "int8"],
        help="which .tflite files to write (default: float32 float16 int8)",
    )
    group.add_argument(
        "--calibration",
        type=int,
        default=200,
        metavar="N",
        help="training images that int8 is calibrated on (default: 200)",
    )
    group.add_argument(
        "--target", choices=["nnapi", "xnnpack"], default="nnapi", help="what the int8 file is for (default: nnapi)"
    )
    group = parser.add_argument_group("int8 after training")
    group.add_argument(
        "--calibration-method",
        choices=["minmax", "percentile", "mse"],
        default="percentile",
        help="which values an int8 range covers: all, 99.99%%, or those of least squared error (default: percentile)",
    )
    group.add_argument(
        "--leave-in-float", nargs="+", default=[], metavar="LAYER", help="Keras layers that int8 shall not touch"
    )
    group.add_argument(
        "--leave-worst", type=int, default=0, metavar="K", help="or so many layers, those that int8 hurts most"
    )
    group.add_argument("--equalize", action="store_true", help="equalize the weights of neighbouring layers first")
    group.add_argument(
        "--bias-correction", action="store_true", help="take the mean error of rounded weights from the biases"
    )


def _add_timing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--threads",
        type=int,
        nargs="+",
        default=[1],
        metavar="N",
        help="CPU threads; with several numbers, all models take turns with each (default: 1)",
    )


def _add_sources(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sources", nargs="+", metavar="RUN|FILE", help="run folders or .tflite files")
