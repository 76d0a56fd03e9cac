"""`keras-mobilenets errors`."""

from argparse import ArgumentParser, Namespace

from keras_mobilenets.cli.sources import add_trained_run, is_model, run_of
from keras_mobilenets.cli.startup import import_tensorflow

PURPOSE = "how far each int8 activation of a run is from float; also into RUN/layer_errors.json"
EXAMPLE = """keras-mobilenets errors runs/photos --worst 20
  keras-mobilenets errors model.h5 --data ~/photos --run runs/mine"""


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the verb's arguments."""
    add_trained_run(parser)
    parser.add_argument("--worst", type=int, default=10, metavar="N", help="activations to show (default: 10)")
    parser.add_argument("--limit", type=int, default=64, metavar="N", help="validation images (default: 64)")


def run(options: Namespace) -> None:
    """Compares the activations of a run's int8 files with float."""
    import_tensorflow(options)
    source = run_of(options)
    if is_model(options.run):
        source.convert(["int8"])
    for found in source.layer_errors(options.limit):
        print("\n".join(str(found).splitlines()[: 2 + options.worst]))
