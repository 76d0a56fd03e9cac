"""`keras-mobilenets pipeline`."""

import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace

from keras_mobilenets import pipeline
from keras_mobilenets.cli.conversion_arguments import add_conversion, int8
from keras_mobilenets.cli.model_arguments import add_model, builder_arguments
from keras_mobilenets.cli.output import say, show
from keras_mobilenets.cli.sources import add_run, add_threads
from keras_mobilenets.cli.startup import import_tensorflow
from keras_mobilenets.cli.training_arguments import add_training, add_transfer, training, transfer
from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.results.tables import COMPRESSIONS

PURPOSE = "train, convert, evaluate, benchmark and report; what is there and up to date is skipped"
EXAMPLE = "keras-mobilenets pipeline MobileNetV2 --alpha 0.5 --data shapes --size 64 --run runs/demo"


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the verb's arguments."""
    add_model(parser)
    add_training(parser)
    add_transfer(parser)
    add_run(parser)
    group = parser.add_argument_group("compression")
    group.add_argument(
        "--compress",
        type=kinds,
        default={},
        metavar="LIST",
        help=f"also make these from the model: {', '.join(['ptq', *COMPRESSIONS])}; write qat:2 for 2 epochs",
    )
    group.add_argument("--sparsity", type=float, default=0.75, metavar="SHARE", help="of prune (default: 0.75)")
    group.add_argument("--macs", type=float, default=0.5, metavar="SHARE", help="of channels (default: 0.5)")
    add_conversion(parser)
    add_threads(parser)
    parser.add_argument(
        "--on",
        nargs="*",
        metavar="TARGET",
        help="also what the own tools of these targets estimate, and whether int8 answers there as on the reference "
        "kernels (default: micro for what hears, where it is installed; --on alone: none)",
    )


def run(options: Namespace) -> None:
    """Train, compress, convert, evaluate, benchmark, report."""
    import_tensorflow(options)
    from keras_mobilenets import tflite

    started = time.perf_counter()
    rows, page = pipeline.Run(options.run).pipeline(
        options.model,
        builder_arguments(options),
        compress=options.compress,
        sparsity=options.sparsity,
        macs=options.macs,
        quantize=options.quantize,
        calibration=options.calibration,
        target=options.target,
        int8=int8(options),
        threads=options.threads,
        on=options.on,
        announce=say,
        **training(options),
        **transfer(options),
    )
    show(tflite.table(rows))
    say(f"{page} shows this with plots and images; done in {time.perf_counter() - started:.0f} s")


def kinds(text: str) -> dict[str, int | None]:
    """Compressions with their epochs: "ptq,qat,prune:2"; what one of them starts from is put before it."""
    from keras_mobilenets.pipeline.compression import in_order

    given: dict[str, int | None] = {}
    for part in filter(None, text.replace(" ", "").split(",")):
        name, colon, epochs = part.partition(":")
        if colon and not (epochs.isdigit() and int(epochs)):
            raise ArgumentTypeError(f"{part!r}: write the epochs as {name}:2")
        given[name] = int(epochs) if colon else None
    try:
        return in_order(given)
    except UserError as error:
        raise ArgumentTypeError(str(error)) from error
