"""`keras-mobilenets search`."""

import dataclasses
from argparse import ArgumentParser, Namespace

from keras_mobilenets import pipeline
from keras_mobilenets.cli.models.limits import count
from keras_mobilenets.cli.output import say
from keras_mobilenets.cli.sources import add_run
from keras_mobilenets.cli.startup import import_tensorflow

PURPOSE = "find a network for a budget on a target, ready for `train`; a killed search goes on where it was"
EXAMPLE = """keras-mobilenets search --data ~/my_photos --size 96 --target xnnpack --max-ms 1.5 --run runs/found
  keras-mobilenets train Searched --set spec=runs/found/spec.json --data ~/my_photos --run runs/photos"""


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the verb's arguments."""
    parser.add_argument(
        "--data", default="shapes", help="shapes, a folder of class folders, or a TFDS name (default: shapes)"
    )
    parser.add_argument("--data-dir", help="where TFDS data sets are kept")
    parser.add_argument("--size", type=int, metavar="PIXELS", help="side of the images (default: the data's usual one)")
    add_run(parser)
    group = parser.add_argument_group("budget", "what the network may cost in int8, at most")
    group.add_argument("--target", default="xnnpack", help="what runs it: xnnpack, on this machine (default: xnnpack)")
    group.add_argument("--max-ms", type=float, metavar="MS", help="latency on the target, one thread, as measured")
    group.add_argument("--max-macs", type=count, metavar="N", help="multiply-adds, such as 5M")
    group.add_argument("--max-params", type=count, metavar="N", help="parameters, such as 400K")
    group.add_argument("--max-size-kb", type=float, metavar="KB", help="weights, 1000 bytes")
    group.add_argument("--max-memory-kb", type=float, metavar="KB", help="activations alive at once, 1000 bytes")
    group = parser.add_argument_group("search")
    group.add_argument(
        "--method",
        default="one-shot",
        help="how networks are estimated: one-shot, by a supernet that all share the weights of; zero-cost, by "
        "untrained ones, in half the time or less, for worse networks; differentiable, by gradients of the choices in "
        "a supernet (default: one-shot)",
    )
    group.add_argument("--epochs", type=int, metavar="N", help="that the supernet is trained (default: 12)")
    group.add_argument("--candidates", type=int, default=200, metavar="N", help="networks to estimate (default: 200)")
    group.add_argument("--seed", type=int, default=0, metavar="N", help="of everything (default: 0)")
    group.add_argument("--table", metavar="FILE", help="measured operators (default: one in the user's cache folder)")


def run(options: Namespace) -> None:
    """Searches into a folder."""
    import_tensorflow(options)
    from keras_mobilenets.training.architecture_search.search import SUPERNET

    filled = pipeline.Run(options.run)
    found = filled.search(
        data=options.data,
        image_size=options.size,
        data_dir=options.data_dir,
        target=options.target,
        max_ms=options.max_ms,
        max_macs=options.max_macs,
        max_parameters=options.max_params,
        max_size_bytes=options.max_size_kb and 1e3 * options.max_size_kb,
        max_memory_bytes=options.max_memory_kb and 1e3 * options.max_memory_kb,
        method=options.method,
        table=options.table,
        candidates=options.candidates,
        **({} if options.epochs is None else {"recipe": dataclasses.replace(SUPERNET, epochs=options.epochs)}),
        seed=options.seed,
    )
    print(found)
    print(found.spec)
    if found.best.measured:
        print(f"{found.best.cost.latency_ms:.3f} ms predicted, {found.best.measured} ms measured")
    spec = filled.folder / "spec.json"
    say(
        f"{filled.folder / 'report.html'} shows the front; next: keras-mobilenets train Searched --set spec={spec} "
        f"--data {options.data} --run {filled.folder}/trained"
    )
