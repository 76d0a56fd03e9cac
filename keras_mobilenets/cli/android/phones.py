"""The phones that a verb works on, side by side or one after the other."""

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from keras_mobilenets.cli.android.adb import Adb
from keras_mobilenets.cli.android.phone import Phone
from keras_mobilenets.cli.output import say
from keras_mobilenets.errors import UserError

_STATES = {
    "unauthorized": "does not trust this computer yet: unlock it, tap Allow on it and try again",
    "authorizing": "is being asked whether it trusts this computer: unlock it, tap Allow on it and try again",
    "offline": "is offline: unlock it, plug the cable in again and try again",
    "no permissions": "may not be used by you: install the udev rules for Android (apt install adb), plug it in again",
    "recovery": "is in recovery mode: start Android on it and try again",
    "bootloader": "is in its bootloader: start Android on it and try again",
    "sideload": "waits for an update: start Android on it and try again",
}


def attached(adb: Adb, serials: Sequence[str] = ()) -> list[Phone]:
    """The phones to work with, which are ready.

    Args:
        adb: The program.
        serials: Those wanted; none stands for the only one attached.

    Raises:
        UserError: None is attached, several are and none is named, or one is not ready; it says what to do.
    """
    there = adb.devices()
    if not there:
        raise UserError("no phone is attached: switch USB debugging on in its developer options and plug it in")
    listed = ", ".join(f"{serial} ({model or state})" for serial, (state, model) in there.items())
    if not serials and len(there) > 1:
        raise UserError(f"several phones are attached: choose with --serial, once for each; there are {listed}")
    for serial in serials:
        if serial not in there:
            raise UserError(f"no phone {serial} is attached; there are {listed}")
    wanted = [(serial, *there[serial]) for serial in dict.fromkeys(serials or there)]
    for serial, state, _ in wanted:
        if state != "device":
            raise UserError(f"phone {serial} {_STATES.get(state, f'is not ready (adb calls it {state})')}")
    return [Phone(adb, serial, model) for serial, _, model in wanted]


def on_each(
    phones: list[Phone], work: Callable[[Phone, Callable[[int, int], None]], str], in_turn: bool, what: str
) -> list[str]:
    """Does the work on all phones, side by side or in turn; one that fails does not stop the others."""
    failures, answers = [], []
    with _bars(what, phones) as bars, ThreadPoolExecutor(1 if in_turn else len(phones)) as pool:
        jobs = [(phone, pool.submit(work, phone, bars(phone))) for phone in phones]
        for _, job in jobs:
            try:
                answers.append(job.result())
                say(answers[-1])
            except UserError as error:
                failures.append(str(error))
    for failure in failures[:-1]:
        say(failure)
    if failures:
        raise UserError(failures[-1])
    return answers


@contextmanager
def _bars(what: str, phones: list[Phone]) -> Any:
    """Gives each phone a bar on standard error; nothing is drawn where that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:

        def bar(phone: Phone) -> Callable[[int, int], None]:
            task = progress.add_task(f"{what} on {phone.name}", total=None)
            return lambda done, total: progress.update(task, completed=done, total=total)

        yield bar
