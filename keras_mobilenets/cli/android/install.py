"""`keras-mobilenets android install`."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_mobilenets.cli.android.apk import APK, check_apk, project
from keras_mobilenets.cli.android.phone_arguments import add_phones
from keras_mobilenets.cli.output import say
from keras_mobilenets.errors import UserError
from keras_mobilenets.files import sha256

PURPOSE = "install the APK on phones"
EXAMPLE = "keras-mobilenets android install --apk keras-mobilenets-demo.apk"


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the verb's arguments."""
    parser.add_argument("--apk", metavar="FILE", help="default: the one that android build has made")
    parser.add_argument("--sha256", metavar="HEX", help="refuse any other file")
    add_phones(parser)


def run(options: Namespace) -> None:
    """Installs the APK on the phones."""
    from keras_mobilenets.cli.android.adb import Adb
    from keras_mobilenets.cli.android.phones import attached, on_each

    apk = Path(options.apk) if options.apk else project(None) / APK
    check_apk(apk)
    digest = sha256(apk)
    if options.sha256 and options.sha256.lower() != digest:
        raise UserError(f"{apk} is not the file you expect: its SHA-256 is {digest}")
    phones = attached(Adb(options.adb), options.serial)

    def put(phone: Any, _: Callable[[int, int], None]) -> str:
        if phone.installed_sha256() == digest:
            return f"{phone.name} has it already"
        phone.install(apk)
        there = phone.installed_sha256()
        if there is None or there not in (digest, ""):
            raise UserError(f"phone {phone.name} did not keep the app: install it again")
        return f"{phone.name} has it now"

    say(f"{apk}, SHA-256 {digest}")
    on_each(phones, put, options.in_turn, "Installing")
