"""One measurement on a phone: the app runs to its end, and what it has measured is fetched and checked."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_mobilenets.cli.android.phone import GoneError, Phone
from keras_mobilenets.cli.output import say
from keras_mobilenets.errors import UserError
from keras_mobilenets.files import atomic

RECONNECT = 60  # seconds that a phone may take to come back


def benchmark(
    phone: Phone,
    asked: dict[str, str],
    seconds: float,
    progress: Callable[[int, int], None],
    path: Path,
    bundle: Any,
) -> None:
    """Runs the app to its end; what it has measured before it fails is kept.

    Args:
        phone: The phone.
        asked: What the app is told.
        seconds: How long it may say nothing.
        progress: Called with the numbers of rows done and in all.
        path: Where results.json goes.
        bundle: What was pushed before; None for what the APK holds.

    Raises:
        UserError: It did not come to its end; the message says why and what was kept.
    """
    try:
        answer = phone.benchmark(asked, seconds, progress)
    except GoneError:
        raise
    except UserError as error:
        raise UserError(f"{error}; {_kept(phone, path, bundle)}") from error
    said = answer.said
    if answer.code == -1:
        return
    if "Unable to find instrumentation" in said.get("Error", ""):
        raise UserError(f"the app on phone {phone.name} is too old or not this one: keras-mobilenets android install")
    if "error" in said:
        raise UserError(f"the app on phone {phone.name} refused: {said['error']}")
    if "shortMsg" in said or "Error" in said:
        reason = said.get("longMsg") or said.get("shortMsg") or said["Error"]
        raise UserError(f"the app crashed on phone {phone.name} {answer.rows} ({reason}); {_kept(phone, path, bundle)}")
    if phone.is_there():
        phone.stop()
        ended = f"ended {answer.rows} without an answer ({answer.last or 'it said nothing'})"
        raise UserError(f"the benchmark on phone {phone.name} {ended}; {_kept(phone, path, bundle)}")
    say(f"phone {phone.name} went away {answer.rows}: plug it in again (waiting {RECONNECT} s)")
    if not phone.wait(RECONNECT):
        again = f"keras-mobilenets android run --collect --serial {phone.serial}"
        raise GoneError(f"phone {phone.name} went away {answer.rows}, which it keeps: plug it in, then {again}")
    raise UserError(f"phone {phone.name} went away {answer.rows}; {_kept(phone, path, bundle)}")


def _kept(phone: Phone, path: Path, bundle: Any) -> str:
    """Fetches the rows that a failed run has left; says what came."""
    try:
        return f"kept: {collected(phone, path, bundle)}"
    except UserError:
        return "no row was kept"


def collected(phone: Phone, path: Path, bundle: Any) -> str:
    """Fetches results.json, checks it and puts it into its place; the path and what is in it.

    Raises:
        UserError: There is none, or it is not about this bundle.
    """
    from keras_mobilenets.tflite.results.results import read_results

    with atomic(path) as temporary:
        if not phone.fetch_results(temporary):
            raise UserError(f"phone {phone.name} holds no results.json: keras-mobilenets android run")
        try:
            results = read_results(temporary)
        except UserError as error:
            aside = path.with_name("refused.json")
            temporary.replace(aside)
            reason = str(error).replace(str(temporary), str(aside))
            raise UserError(
                f"{reason}; app and keras_mobilenets are of different versions: install the app again"
            ) from error
        measured = results.environment["model_sha256"]
        if bundle is not None and not set(measured.values()) <= set(bundle.files.values()):
            raise UserError(
                f"phone {phone.name} measured other models than those of {bundle.folder}: install the app again, "
                "or leave --bundle out"
            )
    failed = sum(row.status != "ok" for row in results.rows)
    return f"{path}: {len(results.rows)} rows" + (f", {failed} of them failed" if failed else "")
