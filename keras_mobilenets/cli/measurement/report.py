"""`keras-mobilenets report`."""

from argparse import ArgumentParser, Namespace

PURPOSE = "write one page about runs and results.json files, of this machine and of phones"
EXAMPLE = "keras-mobilenets report runs/photos pixel8/results.json --out report.html"


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the verb's arguments."""
    parser.add_argument(
        "runs", nargs="+", metavar="RUN|FILE", help="run folders, or results.json files such as a phone's"
    )
    parser.add_argument("--out", metavar="FILE", help="the page (default: report.html in the run folder)")


def run(options: Namespace) -> None:
    """Writes the page."""
    from keras_mobilenets import tflite

    print(tflite.report(options.runs, options.out))
