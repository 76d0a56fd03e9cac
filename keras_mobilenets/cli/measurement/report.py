"""`keras-mobilenets report`."""

from argparse import ArgumentParser, Namespace

from keras_mobilenets import pipeline
from keras_mobilenets.cli.sources import add_adoption, add_pixels, converted, is_model

PURPOSE = "write one page about runs and results.json files, of this machine and of phones"
EXAMPLE = """keras-mobilenets report runs/photos pixel8/results.json --out report.html
  keras-mobilenets report model.h5 --data ~/photos --run runs/mine"""


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the verb's arguments."""
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN|FILE",
        help="run folders, results.json files such as a phone's, or model files, which are evaluated first",
    )
    parser.add_argument("--out", metavar="FILE", help="the page (default: report.html in the run folder)")
    add_pixels(parser)
    add_adoption(parser)


def run(options: Namespace) -> None:
    """Writes the page."""
    from keras_mobilenets import tflite

    sources = converted(options.runs, options)
    for given, source in zip(options.runs, sources, strict=True):
        if is_model(given):
            pipeline.Run(source).evaluate()
    print(tflite.report(sources, options.out))
