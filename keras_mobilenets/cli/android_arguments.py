"""The arguments of `keras-mobilenets android`: its verbs are android.py's functions."""

import argparse
import importlib
from typing import Any

from keras_mobilenets.cli.arguments import _add_training

PHONES = "runs/phones"  # a folder for each phone's results.json

_EPILOG = """from trained runs to a table of a phone:
  keras-mobilenets android install
  keras-mobilenets android bundle runs/photos --out runs/bundle
  keras-mobilenets android run --bundle runs/bundle
  keras-mobilenets android report runs/phones runs/photos"""


def add_android(verbs: Any) -> None:
    """Adds the verb and those under it."""
    purpose = "measure models on a phone: bundle them, install the app, run it, report"
    parser = verbs.add_parser(
        "android", help=purpose, description=purpose, epilog=f"example:\n  {_EXAMPLE}\n\n{_EPILOG}"
    )
    below = parser.add_subparsers(title="verbs", metavar="VERB", required=True)

    def verb(name: str, purpose: str, example: str) -> argparse.ArgumentParser:
        added = below.add_parser(name, help=purpose, description=purpose, epilog=f"example:\n  {example}")

        def run(options: argparse.Namespace) -> None:
            getattr(importlib.import_module("keras_mobilenets.cli.android"), name)(options)

        added.set_defaults(verb=run, name=f"android {name}")
        return added

    add = verb(
        "bundle",
        "put models into a folder with probes and labelled images, for the app",
        "keras-mobilenets android bundle runs/photos runs/small --out runs/bundle",
    )
    add.add_argument("sources", nargs="+", metavar="RUN|FILE", help="run folders or .tflite files")
    add.add_argument(
        "--probes", type=int, default=4, metavar="N", help="inputs with this machine's answers (default: 4)"
    )
    _add_bundle(add)

    add = verb(
        "zoo",
        "make the networks of the papers' comparison as float32, float16, int8 PTQ and int8 QAT, and a bundle of them",
        "keras-mobilenets android zoo --data shapes --size 64 --runs runs/zoo --out runs/zoo_bundle\n"
        "  keras-mobilenets android zoo --untrained --size 224 --runs runs/zoo_224 --out runs/zoo_224_bundle",
    )
    add.add_argument("--runs", required=True, metavar="DIR", help="a run folder for each network goes here")
    add.add_argument(
        "--networks", nargs="+", default=[], metavar="NAME", help="only these, such as MobileNetV2 (default: all six)"
    )
    add.add_argument("--size", type=int, default=64, metavar="PIXELS", help="side of the input (default: 64)")
    add.add_argument("--untrained", action="store_true", help="latency only: no training, top-1 unknown, no QAT")
    add.add_argument(
        "--classes", type=int, default=1000, metavar="N", help="of untrained networks (default: 1000, as ImageNet)"
    )
    add.add_argument(
        "--qat-epochs", type=int, default=1, metavar="N", help="of quantization-aware training (default: 1)"
    )
    add.add_argument(
        "--calibration", type=int, default=200, metavar="N", help="training images for int8 PTQ (default: 200)"
    )
    add.add_argument("--target", choices=["nnapi", "xnnpack"], default="nnapi", help="of int8 files (default: nnapi)")
    _add_bundle(add)
    _add_training(add)

    add = verb(
        "build",
        "build the APK, in a checkout of the repository",
        "keras-mobilenets android build --bundle runs/bundle",
    )
    add.add_argument("--bundle", required=True, metavar="DIR", help="goes into the APK")
    add.add_argument("--out", metavar="FILE", help="the APK (default: in android_demo/build)")
    add.add_argument("--project", metavar="DIR", help="the repository (default: here, or where this package lies)")

    add = verb(
        "install", "install the APK on phones", "keras-mobilenets android install --apk keras-mobilenets-demo.apk"
    )
    add.add_argument("--apk", metavar="FILE", help="default: the one that android build has made")
    add.add_argument("--sha256", metavar="HEX", help="refuse any other file")
    _add_phones(add)

    add = verb(
        "run",
        "measure a bundle's models on phones, and fetch results.json",
        "keras-mobilenets android run --bundle runs/bundle --backends cpu-1,cpu-4,gpu,nnapi",
    )
    add.add_argument("--bundle", metavar="DIR", help="pushed before (default: what the APK holds)")
    add.add_argument("--models", default="all", metavar="LIST", help="names with commas between them (default: all)")
    add.add_argument(
        "--backends", default="all", metavar="LIST", help="of cpu-1, cpu-4, gpu, nnapi, nnapi:NAME (default: all)"
    )
    add.add_argument("--runs", type=int, metavar="N", help="timed inferences at least (default: the app's own)")
    add.add_argument(
        "--timeout", type=float, default=10, metavar="MINUTES", help="that the app may say nothing (default: 10)"
    )
    add.add_argument("--collect", action="store_true", help="only fetch what an earlier run has left on the phone")
    add.add_argument("--out", default=PHONES, metavar="DIR", help=f"each phone gets a folder in it (default: {PHONES})")
    _add_phones(add)

    add = verb(
        "report",
        "show what phones and this machine measured in one table and page",
        "keras-mobilenets android report runs/phones runs/photos --out report.html",
    )
    add.add_argument(
        "sources", nargs="*", default=[PHONES], metavar="DIR|FILE", help=f"phones' folders, runs (default: {PHONES})"
    )
    add.add_argument("--out", metavar="FILE", help="the page (default: report.html in the first folder)")


_EXAMPLE = "keras-mobilenets android run --bundle runs/bundle"


def _add_bundle(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", required=True, metavar="DIR", help="the bundle; one that is there is replaced")
    parser.add_argument("--title", metavar="TEXT", help="what the app calls it (default: the folder's name)")
    parser.add_argument(
        "--labelled", type=int, default=200, metavar="N", help="test images for the app's top-1 (default: 200)"
    )


def _add_phones(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("phones")
    group.add_argument(
        "--serial", action="append", default=[], metavar="ID", help="one of adb devices; may be given several times"
    )
    group.add_argument("--in-turn", action="store_true", help="several phones one after the other, not side by side")
    group.add_argument("--adb", metavar="PATH", help="the program (default: adb on PATH)")
