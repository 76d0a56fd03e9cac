"""`keras-mobilenets benchmark`."""

import itertools
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import Any

from keras_mobilenets import pipeline
from keras_mobilenets.cli.output import say, show
from keras_mobilenets.cli.sources import (
    add_adoption,
    add_pixels,
    add_size,
    add_threads,
    converted,
    input_shape,
    is_model,
    tflite_files,
)
from keras_mobilenets.cli.startup import import_tensorflow
from keras_mobilenets.errors import UserError

PURPOSE = "measure the latency of any .tflite files on this CPU, about three seconds a row"
EXAMPLE = """keras-mobilenets benchmark runs/photos --threads 1 2 --peers
  keras-mobilenets benchmark runs/photos --baseline old.json --fail-over 5%
  keras-mobilenets benchmark runs/photos --on ethos-u55-128
  keras-mobilenets benchmark model.tflite --profile
  keras-mobilenets benchmark model.h5 --data ~/photos --run runs/mine"""


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the verb's arguments."""
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="FOLDER|FILE",
        help="run folders, folders of .tflite files, .tflite files, or model files",
    )
    add_threads(parser)
    add_size(parser)
    add_pixels(parser)
    add_adoption(parser, has_size=False)
    parser.add_argument("--again", action="store_true", help="measure again what was measured before")
    parser.add_argument(
        "--peers",
        action="store_true",
        help="beside keras.applications' model through the stock converter (of a run folder)",
    )
    parser.add_argument(
        "--on",
        nargs="+",
        default=[],
        metavar="TARGET",
        help="also what the own tools of these targets estimate, such as ethos-u55-128; in a table of its own",
    )
    parser.add_argument("--profile", action="store_true", help="instead: which operators the time goes into")
    parser.add_argument(
        "--out", metavar="FILE", help="the results.json (default: in the folder; none for single files)"
    )
    parser.add_argument("--no-page", action="store_true", help="leave out report.html, the page with the plots")
    group = parser.add_argument_group("continuous integration")
    group.add_argument("--baseline", metavar="FILE", help="an earlier results.json: measure again and compare")
    group.add_argument(
        "--fail-over",
        type=share,
        default=0.05,
        metavar="SHARE",
        help="exit with code 1 when a median is slower by more than this, 5%% or 0.05 (default: 5%%)",
    )


def run(options: Namespace) -> int:
    """Times .tflite files; a folder's figures go into its results.json. Returns 1 when slower than the baseline."""
    if options.peers:
        import_tensorflow(options)
    from keras_mobilenets import tflite
    from keras_mobilenets.tflite.measurement.estimates import targets
    from keras_mobilenets.tflite.results.results import Results, environment

    own = [source for source in map(Path, options.sources) if source.is_dir() and not is_model(source)]
    if options.size and own:
        raise UserError(f"--size is for files of open sizes, and {own[0]} is a folder: give the files")
    if options.profile and options.on:
        raise UserError("--profile is of this CPU, and --on asks other targets: give one of them")
    targets(options.on)  # before minutes are spent
    sources = converted(options.sources, options, ["size"])
    if options.profile:
        for path, threads in itertools.product(tflite_files(sources), options.threads):
            found = tflite.profile(path, threads=threads)
            say(found.summary)
            show(*found.tables())
        return 0
    before = tflite.read_results(options.baseline) if options.baseline else None
    folders = [source for source in sources if source.is_dir()]
    loose = [source for source in sources if source not in folders]
    if options.out and len(folders) + bool(loose) > 1:
        raise UserError("--out holds what is measured in one go: give one folder, or files only")
    if options.peers and loose:
        raise UserError(f"{loose[0]} does not say what its model is: --peers needs the folder of a run")
    rows = []
    for run_folder in (pipeline.Run(folder, options.out) for folder in folders):
        again = options.again or before is not None
        timed = run_folder.benchmark(options.threads, again, peers=options.peers)
        rows += timed
        estimates = run_folder.estimate(options.on, options.again) if options.on else run_folder.estimates()
        _show(timed + estimates, run_folder.results_file if options.out else run_folder.folder, options)
    if loose:
        timed = tflite.benchmark(loose, threads=options.threads, limit=True, input_shape=input_shape(options))
        rows += timed
        timed += tflite.estimate(loose, options.on) if options.on else []
        if options.out:
            tflite.write_results(options.out, timed, environment(loose))
        _show(timed, options.out, options)
    if before is None:
        return 0
    return _compared(before, Results(rows, environment(tflite_files(sources))), options.fail_over)


def _show(rows: list[Any], results: Any, options: Namespace) -> None:
    """The table, its notes, and the page about what was written."""
    from keras_mobilenets import tflite
    from keras_mobilenets.tflite.results.tables import notes

    show(tflite.table(rows))
    for note in notes(rows):
        print(note)
    if results and not options.no_page:
        say(f"{tflite.report(results)} shows this with plots")


def _compared(before: Any, now: Any, fail_over: float) -> int:
    """Prints the comparison with a baseline; 1 when a row is slower than allowed, or there is none to compare."""
    from keras_mobilenets.tflite.measurement.regression import compare

    found = compare(before, now, fail_over)
    show(found.table())
    for name, rows in (("not measured now", found.missing), ("not in the baseline", found.added)):
        if rows:
            print(f"{name}: {'; '.join(rows)}")
    for warning in found.warnings:
        print(f"warning: {warning}")
    verdict = f"{len(found.slower)} slower by more than {fail_over:.1%}" if found.pairs else "nothing to compare"
    say(f"{len(found.pairs)} medians compared with the baseline: {verdict}")
    return 0 if found.ok else 1


def share(text: str) -> float:
    """A share such as "5%" or "0.05"."""
    try:
        value = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < (10 if text.endswith("%") else 1):
        raise ArgumentTypeError(f"{text!r} is not a share such as 5% or 0.05")
    return value
