"""`keras-mobilenets android build`."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from keras_mobilenets.cli.android.apk import APK, check_apk, project
from keras_mobilenets.cli.output import say
from keras_mobilenets.errors import UserError
from keras_mobilenets.files import sha256

PURPOSE = "build the APK, in a checkout of the repository"
EXAMPLE = "keras-mobilenets android build --bundle runs/bundle"
APK_LIMIT_MB = 60


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the verb's arguments."""
    parser.add_argument("--bundle", required=True, metavar="DIR", help="goes into the APK")
    parser.add_argument("--out", metavar="FILE", help="the APK (default: in android_demo/build)")
    parser.add_argument("--project", metavar="DIR", help="the repository (default: here, or where this package lies)")


def run(options: Namespace) -> None:
    """Builds the APK in a checkout of the repository."""
    import subprocess

    from keras_mobilenets.tflite.bundles.manifest import read_bundle

    repository, folder = project(options.project), read_bundle(options.bundle).folder
    apk = Path(options.out) if options.out else repository / APK
    command = [sys.executable, str(repository / "android_demo" / "build_apk.py")]
    done = subprocess.run(
        [*command, "--bundle", str(folder.resolve()), "--out", str(apk.resolve())],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    *before, last = done.stderr.splitlines() or [""]
    if done.returncode:
        for line in before:
            say(line)
        raise UserError(last.removeprefix("build_apk.py: ") or f"the build failed with exit code {done.returncode}")
    check_apk(apk)
    size = apk.stat().st_size / 1e6
    say(f"{apk}: {size:.1f} MB, SHA-256 {sha256(apk)}; next: keras-mobilenets android install --apk {apk}")
    if size > APK_LIMIT_MB:
        say(f"it is larger than {APK_LIMIT_MB} MB: leave large models out, and push them with android run --bundle")
