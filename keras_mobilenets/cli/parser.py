"""The parser of all verbs."""

import argparse

from keras_mobilenets import __version__
from keras_mobilenets.cli import pipeline, web
from keras_mobilenets.cli.android import build, bundle, install, zoo
from keras_mobilenets.cli.android import report as phone_report
from keras_mobilenets.cli.android import run as phone_run
from keras_mobilenets.cli.conversion import convert, errors, export, inspect, sensitivity, targets
from keras_mobilenets.cli.measurement import benchmark, evaluate, report
from keras_mobilenets.cli.models import choose, models, push, summary, zeroshot
from keras_mobilenets.cli.training import distill, explain, prune, qat, search, train
from keras_mobilenets.cli.verb import Parser, Verb, add_verbs

VERBS: tuple[Verb, ...] = (
    models,
    choose,
    summary,
    search,
    zeroshot,
    train,
    distill,
    qat,
    prune,
    explain,
    convert,
    export,
    errors,
    sensitivity,
    inspect,
    targets,
    evaluate,
    benchmark,
    report,
    web,
    push,
    pipeline,
)
PHONE_VERBS: tuple[Verb, ...] = (bundle, zoo, build, install, phone_run, phone_report)

_PHONE_PURPOSE = "measure models on a phone: bundle them, install the app, run it, report"
_PHONE_EPILOG = """example:
  keras-mobilenets android run --bundle runs/bundle

from trained runs to a table of a phone:
  keras-mobilenets android install
  keras-mobilenets android bundle runs/photos --out runs/bundle
  keras-mobilenets android run --bundle runs/bundle
  keras-mobilenets android report runs/phones runs/photos"""


def make_parser() -> argparse.ArgumentParser:
    """The parser of all verbs; each sets `verb`, the function that carries it out."""
    parser = Parser(
        prog="keras-mobilenets",
        description="Mobile vision models from a Keras builder to a number on a phone.",
        epilog="example:\n  keras-mobilenets pipeline MobileNetV2 --alpha 0.5 --data shapes --size 64 --run runs/demo",
    )
    parser.add_argument("--version", action="version", version=f"keras_mobilenets {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error and TensorFlow's log")
    android = add_verbs(parser, VERBS).add_parser(
        "android", help=_PHONE_PURPOSE, description=_PHONE_PURPOSE, epilog=_PHONE_EPILOG
    )
    add_verbs(android, PHONE_VERBS)
    return parser
