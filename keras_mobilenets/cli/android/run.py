"""`keras-mobilenets android run`."""

import re
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_mobilenets.cli.android.phone_arguments import FOLDER, add_phones
from keras_mobilenets.cli.output import show
from keras_mobilenets.errors import UserError

PURPOSE = "measure a bundle's models on phones, and fetch results.json"
EXAMPLE = "keras-mobilenets android run --bundle runs/bundle --backends cpu-1,cpu-4,gpu,nnapi"


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the verb's arguments."""
    parser.add_argument("--bundle", metavar="DIR", help="pushed before (default: what the APK holds)")
    parser.add_argument("--models", default="all", metavar="LIST", help="names with commas between them (default: all)")
    parser.add_argument(
        "--backends", default="all", metavar="LIST", help="of cpu-1, cpu-4, gpu, nnapi, nnapi:NAME (default: all)"
    )
    parser.add_argument("--runs", type=int, metavar="N", help="timed inferences at least (default: the app's own)")
    parser.add_argument(
        "--soak",
        type=int,
        metavar="MINUTES",
        help="one model on one backend, for 1 to 60 minutes: does it hold its latency?",
    )
    parser.add_argument(
        "--timeout", type=float, default=10, metavar="MINUTES", help="that the app may say nothing (default: 10)"
    )
    parser.add_argument("--collect", action="store_true", help="only fetch what an earlier run has left on the phone")
    parser.add_argument(
        "--out", default=FOLDER, metavar="DIR", help=f"each phone gets a folder in it (default: {FOLDER})"
    )
    add_phones(parser)


def run(options: Namespace) -> None:
    """Runs the app's benchmark on the phones and fetches what it measured."""
    from keras_mobilenets import tflite
    from keras_mobilenets.cli.android.adb import Adb
    from keras_mobilenets.cli.android.measurement import benchmark, collected
    from keras_mobilenets.cli.android.phones import attached, on_each
    from keras_mobilenets.tflite.bundles.manifest import NAME, read_bundle

    opened = read_bundle(options.bundle) if options.bundle else None
    asked = _asked(options, opened)
    phones = attached(Adb(options.adb), options.serial)

    def measure(phone: Any, progress: Callable[[int, int], None]) -> str:
        path = Path(options.out) / re.sub(r"[^A-Za-z0-9._-]+", "_", phone.name) / "results.json"
        if options.collect:
            return collected(phone, path, opened)
        if phone.installed_sha256() is None:
            raise UserError(f"the app is not on phone {phone.name}: keras-mobilenets android install")
        if opened is not None:
            phone.push(opened.folder, [NAME, *opened.files])
        benchmark(phone, asked, options.timeout * 60, progress, path, opened)
        return collected(phone, path, opened)

    paths = on_each(phones, measure, options.in_turn, "Measuring")
    for line in paths:
        path = line.partition(":")[0]
        show(tflite.table(tflite.read_results(path).rows))


def _asked(options: Namespace, opened: Any) -> dict[str, str]:
    """What the app is told."""
    asked = {"models": _names("models", options.models), "backends": _names("backends", options.backends)}
    if opened is not None and asked["models"] != "all":
        for name in asked["models"].split(","):
            opened.model(name)
    if options.runs is not None:
        if options.runs < 1:
            raise UserError(f"--runs {options.runs}: give 1 or more")
        asked["runs"] = str(options.runs)
    if options.soak is not None:
        if not 1 <= options.soak <= 60:
            raise UserError(f"--soak {options.soak}: give 1 to 60 minutes, such as 10")
        if any(names == "all" or "," in names for names in (asked["models"], asked["backends"])):
            raise UserError("--soak is of one row: give one name each to --models and --backends")
        asked["soak"] = str(options.soak)
    if not options.timeout > 0:
        raise UserError(f"--timeout {options.timeout:g}: give the minutes that the app may say nothing, such as 10")
    if opened is not None:
        from keras_mobilenets.cli.android.phone import BUNDLE

        asked["bundle"] = BUNDLE
    return asked


def _names(what: str, text: str) -> str:
    """A comma list as it goes to the phone."""
    names = [name for name in text.replace(" ", "").split(",") if name]
    wrong = next((name for name in names if not re.fullmatch(r"[A-Za-z0-9._+:-]+", name)), None)
    if wrong or not names:
        raise UserError(f"--{what} {text!r}: give names with commas between them, or all")
    return "all" if "all" in names else ",".join(names)
