"""What the verbs of `keras-mobilenets android` do: the bundle, the app's build, and the phones that run it."""

import re
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from keras_mobilenets.cli.adb import BUNDLE, Adb, GoneError, Phone
from keras_mobilenets.cli.output import say, show
from keras_mobilenets.errors import UserError
from keras_mobilenets.files import atomic, sha256

APK = Path("android_demo", "build", "keras_mobilenets_demo.apk")  # in the repository
APK_LIMIT_MB = 60
RECONNECT = 60  # seconds that a phone may take to come back


def bundle(options: Namespace) -> None:
    """Puts runs into a bundle."""
    from keras_mobilenets import tflite

    made = tflite.bundle(
        options.sources, options.out, probes=options.probes, labelled=options.labelled, title=options.title
    )
    _describe(made)


def zoo(options: Namespace) -> None:
    """Makes the networks of the comparison, where they are not there, and a bundle of them."""
    from keras_mobilenets import tflite
    from keras_mobilenets.cli.zoo import trained, untrained

    runs = (untrained if options.untrained else trained)(Path(options.runs), options)
    _describe(tflite.bundle(runs, options.out, labelled=options.labelled, title=options.title))


def build(options: Namespace) -> None:
    """Builds the APK in a checkout of the repository."""
    from keras_mobilenets.tflite.bundles.manifest import read_bundle

    project, folder = _project(options.project), read_bundle(options.bundle).folder
    apk = Path(options.out) if options.out else project / APK
    command = [sys.executable, str(project / "android_demo" / "build_apk.py")]
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
    _check_apk(apk)
    size = apk.stat().st_size / 1e6
    say(f"{apk}: {size:.1f} MB, SHA-256 {sha256(apk)}; next: keras-mobilenets android install --apk {apk}")
    if size > APK_LIMIT_MB:
        say(f"it is larger than {APK_LIMIT_MB} MB: leave large models out, and push them with android run --bundle")


def install(options: Namespace) -> None:
    """Installs the APK on the phones."""
    apk = Path(options.apk) if options.apk else _project(None) / APK
    _check_apk(apk)
    digest = sha256(apk)
    if options.sha256 and options.sha256.lower() != digest:
        raise UserError(f"{apk} is not the file you expect: its SHA-256 is {digest}")
    phones = Adb(options.adb).phones(options.serial)

    def put(phone: Phone, _: Callable[[int, int], None]) -> str:
        if phone.installed_sha256() == digest:
            return f"{phone.name} has it already"
        phone.install(apk)
        there = phone.installed_sha256()
        if there is None or there not in (digest, ""):
            raise UserError(f"phone {phone.name} did not keep the app: install it again")
        return f"{phone.name} has it now"

    say(f"{apk}, SHA-256 {digest}")
    _on_each(phones, put, options.in_turn, "Installing")


def run(options: Namespace) -> None:
    """Runs the app's benchmark on the phones and fetches what it measured."""
    from keras_mobilenets import tflite
    from keras_mobilenets.tflite.bundles.manifest import NAME, read_bundle

    opened = read_bundle(options.bundle) if options.bundle else None
    asked = _asked(options, opened)
    phones = Adb(options.adb).phones(options.serial)

    def measure(phone: Phone, progress: Callable[[int, int], None]) -> str:
        path = Path(options.out) / re.sub(r"[^A-Za-z0-9._-]+", "_", phone.name) / "results.json"
        if options.collect:
            return _collected(phone, path, opened)
        if phone.installed_sha256() is None:
            raise UserError(f"the app is not on phone {phone.name}: keras-mobilenets android install")
        if opened is not None:
            phone.push(opened.folder, [NAME, *opened.files])
        _benchmark(phone, asked, options.timeout * 60, progress, path, opened)
        return _collected(phone, path, opened)

    paths = _on_each(phones, measure, options.in_turn, "Measuring")
    for line in paths:
        path = line.partition(":")[0]
        show(tflite.table(tflite.read_results(path).rows))


def report(options: Namespace) -> None:
    """Joins what phones and this machine measured into a table and a page."""
    from keras_mobilenets import tflite
    from keras_mobilenets.tflite.reports.comparison import measurements
    from keras_mobilenets.tflite.reports.sources import read_source

    sources = [found for source in map(Path, options.sources) for found in _results(source)]
    page = tflite.report(sources, options.out or Path(options.sources[0]) / "report.html")
    show(_matrix(measurements([read_source(source) for source in sources])))
    print(page)


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
    if not options.timeout > 0:
        raise UserError(f"--timeout {options.timeout:g}: give the minutes that the app may say nothing, such as 10")
    if opened is not None:
        asked["bundle"] = BUNDLE
    return asked


def _benchmark(
    phone: Phone,
    asked: dict[str, str],
    seconds: float,
    progress: Callable[[int, int], None],
    path: Path,
    bundle: Any,
) -> None:
    """Runs the app to its end; what it has measured before it fails is kept."""
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
        return f"kept: {_collected(phone, path, bundle)}"
    except UserError:
        return "no row was kept"


def _collected(phone: Phone, path: Path, bundle: Any) -> str:
    """Fetches results.json, checks it and puts it into its place; the path and what is in it."""
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


def _on_each(
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


def _names(what: str, text: str) -> str:
    """A comma list as it goes to the phone."""
    names = [name for name in text.replace(" ", "").split(",") if name]
    wrong = next((name for name in names if not re.fullmatch(r"[A-Za-z0-9._+:-]+", name)), None)
    if wrong or not names:
        raise UserError(f"--{what} {text!r}: give names with commas between them, or all")
    return "all" if "all" in names else ",".join(names)


def _project(given: str | None) -> Path:
    """The checkout of the repository, where the app's sources are."""
    places = [Path(given)] if given else [Path.cwd(), Path(__file__).resolve().parents[2]]
    found = next((place for place in places if (place / "android_demo").is_dir()), None)
    if found is None:
        raise UserError(f"{places[0]} has no android_demo: give the repository with --project, or an APK with --apk")
    return found


def _check_apk(path: Path) -> None:
    import zipfile

    if not path.is_file():
        raise UserError(f"{path} is missing: make it first with keras-mobilenets android build")
    try:
        with zipfile.ZipFile(path) as archive:
            whole = {"AndroidManifest.xml", "classes.dex"} <= set(archive.namelist()) and archive.testzip() is None
    except (zipfile.BadZipFile, OSError):
        whole = False
    if not whole:
        raise UserError(f"{path} is no APK or is damaged: make it again with keras-mobilenets android build")


def _results(source: Path) -> list[Path]:
    """A run folder or results.json itself; of a folder of such folders, all of them."""
    below = sorted(path.parent for path in source.glob("*/results.json")) if source.is_dir() else []
    itself = not source.is_dir() or any((source / name).exists() for name in ("results.json", "run.json"))
    return [source] if itself or not below else below


def _matrix(measured: list[Any]) -> Any:
    """Median latencies: a row for each model, a column for each device and backend."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from keras_mobilenets.tflite.reports.comparison import matrix
    from keras_mobilenets.tflite.results.tables import UNKNOWN, megabytes, milliseconds, percent

    found = matrix(measured)
    grid = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for title in ("model", "variant"):
        grid.add_column(title)
    devices = [device for device, columns in found.devices for _ in range(columns)]
    titles = [
        f"{device}\n{backend}{f' ×{threads}' if threads else ''} ms"
        for device, (backend, threads) in zip(devices, found.columns, strict=True)
    ]
    for title in ("size MB", "top-1", *titles):
        grid.add_column(title, justify="right")
    for family, variant, cells in found.rows:
        rows = [each.row for cell in cells for each in cell]
        size = next((row.model_size_mb for row in rows if row.model_size_mb is not None), None)
        top1 = next((row.top1 for row in rows if row.top1 is not None), None)
        texts = ["; ".join(_cell(each, milliseconds) for each in cell) or UNKNOWN for cell in cells]
        grid.add_row(family, variant, megabytes(size), percent(top1), *texts)
    return grid


def _cell(measured: Any, milliseconds: Callable[[float | None], str]) -> str:
    if measured.row.status != "ok":
        return "failed"
    text = milliseconds(measured.row.median_ms)
    return f"{text} (on the CPU)" if measured.fell_back else text


def _describe(folder: Path) -> None:
    from keras_mobilenets.tflite.bundles.manifest import read_bundle

    made = read_bundle(folder)
    for model in made.models:
        top1 = "unknown" if model.host_top1 is None else f"{model.host_top1:.1%}"
        level = f"from API level {model.nnapi_min_api_level}" if model.nnapi_min_api_level else "in part"
        print(f"{model.name}  {model.size_bytes / 1e6:.2f} MB  top-1 {top1}  NNAPI {level}")
    size = f"{len(made.models)} models, {made.size_bytes / 1e6:.1f} MB"
    say(f"{folder}: {size}; next: keras-mobilenets android run --bundle {folder}")
