"""`keras-mobilenets sensitivity`."""

from argparse import ArgumentParser, Namespace

from keras_mobilenets.cli.sources import add_trained_run, run_of
from keras_mobilenets.cli.startup import import_tensorflow

PURPOSE = "quantize a run's model layer by layer and show which layers int8 hurts most"
EXAMPLE = """keras-mobilenets sensitivity runs/photos --by block
  keras-mobilenets sensitivity model.h5 --data ~/photos --run runs/mine"""


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the verb's arguments."""
    add_trained_run(parser)
    parser.add_argument("--by", choices=["layer", "block"], default="layer", help="what is quantized at a time")
    parser.add_argument("--limit", type=int, default=64, metavar="N", help="validation images (default: 64)")


def run(options: Namespace) -> None:
    """Shows which layers int8 hurts most."""
    import_tensorflow(options)
    print(run_of(options).sensitivity(options.by, options.limit))
