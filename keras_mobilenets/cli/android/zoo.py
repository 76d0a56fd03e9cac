"""`keras-mobilenets android zoo`."""

from argparse import ArgumentParser, Namespace

from keras_mobilenets import pipeline
from keras_mobilenets.cli.android.bundle import add_bundle, describe
from keras_mobilenets.cli.output import say
from keras_mobilenets.cli.startup import import_tensorflow
from keras_mobilenets.cli.training_arguments import add_training, training
from keras_mobilenets.tflite.targets.operator_forms import FORMS

PURPOSE = "make the networks of the papers' comparison as float32, float16, int8 PTQ and int8 QAT, and a bundle of them"
EXAMPLE = """keras-mobilenets android zoo --data shapes --size 64 --runs runs/zoo --out runs/zoo_bundle
  keras-mobilenets android zoo --untrained --size 224 --runs runs/zoo_224 --out runs/zoo_224_bundle"""


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the verb's arguments."""
    parser.add_argument("--runs", required=True, metavar="DIR", help="a run folder for each network goes here")
    parser.add_argument(
        "--networks", nargs="+", default=[], metavar="NAME", help="only these, such as MobileNetV2 (default: all six)"
    )
    parser.add_argument("--size", type=int, default=64, metavar="PIXELS", help="side of the input (default: 64)")
    parser.add_argument("--untrained", action="store_true", help="latency only: no training, top-1 unknown, no QAT")
    parser.add_argument(
        "--classes", type=int, default=1000, metavar="N", help="of untrained networks (default: 1000, as ImageNet)"
    )
    parser.add_argument(
        "--qat-epochs", type=int, default=1, metavar="N", help="of quantization-aware training (default: 1)"
    )
    parser.add_argument(
        "--calibration", type=int, default=200, metavar="N", help="training images for int8 PTQ (default: 200)"
    )
    parser.add_argument(
        "--target", choices=list(FORMS), default="nnapi", help="of int8 files, as in convert (default: nnapi)"
    )
    add_bundle(parser)
    add_training(parser)


def run(options: Namespace) -> None:
    """Makes the networks of the comparison, where they are not there, and a bundle of them."""
    import_tensorflow(options)
    from keras_mobilenets import tflite

    asked = {"target": options.target, "announce": say}
    if options.untrained:
        asked |= {"image_size": options.size, "classes": options.classes}
        runs = pipeline.untrained_zoo(options.runs, options.networks, **asked)
    else:
        asked |= {"qat_epochs": options.qat_epochs, "calibration": options.calibration}
        runs = pipeline.trained_zoo(options.runs, options.networks, **asked, **training(options))
    describe(tflite.bundle(runs, options.out, labelled=options.labelled, title=options.title))
