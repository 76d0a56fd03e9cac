"""`keras-mobilenets models`."""

import math
from argparse import ArgumentParser, Namespace
from typing import Any

from keras_mobilenets.cli.models.limits import add_limits
from keras_mobilenets.cli.output import grid, show
from keras_mobilenets.errors import UserError

PURPOSE = "list every model with its published figures"
EXAMPLE = """keras-mobilenets models --max-params 4M --max-macs 300M --sort top1
  keras-mobilenets models --phones --family MobileNetV3"""


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the verb's arguments."""
    add_limits(parser)
    parser.add_argument("--sort", default="", metavar="BY", help="top1 (best first), parameters or macs (least first)")
    parser.add_argument(
        "--phones",
        action="store_true",
        help="instead: the latencies that were published of these networks, on which phone, and by whom",
    )


def run(options: Namespace) -> None:
    """Lists the builders and what was published of them."""
    import keras_mobilenets as km
    from keras_mobilenets.costs.selection import select

    rows = select(
        max_parameters=options.max_params, max_macs=options.max_macs, family=options.family, sort=options.sort
    )
    limited = not (math.isinf(options.max_params) and math.isinf(options.max_macs))
    if options.phones:
        _show_latencies(rows, options.family, limited)
        return
    table = grid("model", "arguments", "input", "parameters", "multiply-adds", "ImageNet top-1")
    for row in rows:
        arguments = ", ".join(f"{key}={value}" for key, value in row.arguments.items())
        macs, top1 = (
            f"{row.macs_millions:,.1f} M",
            f"{row.imagenet_top1:.1f}%{'' if row.is_of_images else ' of Speech Commands'}",
        )
        table.add_row(row.builder, arguments, str(row.input_size), f"{row.parameters:,}", macs, top1)
    show(table)
    if not rows:
        raise UserError("no published variant is within these limits")
    published = {row.builder for row in select()}
    rest = [name for name in km.list_models() if name not in published and options.family.lower() in name.lower()]
    if rest and not limited:
        print(f"without published figures: {', '.join(rest)}")


def _show_latencies(rows: list[Any], family: str, limited: bool) -> None:
    """Every network that has one: its own figures, below them what was published, below all the sources by number."""
    import keras_mobilenets as km
    from keras_mobilenets.costs.latencies import latencies

    own = {row.label: row for row in rows}
    networks: dict[str, list[Any]] = {label: [] for label in own}
    for each in latencies():
        built = each.builder in km.list_models() and family.lower() in each.builder.lower()
        if built and (each.label in own or not limited):
            networks.setdefault(each.label, []).append(each)
    shown = [each for published in networks.values() for each in published]
    if not shown:
        raise UserError("no latency was published of a network within these limits")
    sources = list(dict.fromkeys(each.source for each in shown))
    phone, runtime, precision = (max(len(getattr(e, n)) for e in shown) for n in ("device", "runtime", "precision"))
    for name, published in networks.items():
        if published:
            print(f"{name}: {_figures(own.get(name))}")
        for e in published:
            what = f"{e.device:{phone}}  {e.runtime:{runtime}}  {e.precision:{precision}}"
            print(f"  {what}  {e.latency_ms:>6g} ms  [{sources.index(e.source) + 1}]")
    print("\nas published for 1,000 or 1,001 classes, not measured here; the sources:")
    for number, source in enumerate(sources, 1):
        print(f"[{number}] {source}")


def _figures(row: Any | None) -> str:
    """The published figures of the model itself."""
    if row is None:
        return "no figures of its own were published at this size"
    macs, top1 = f"{row.macs_millions:,.1f} M multiply-adds", f"{row.imagenet_top1:.1f}% ImageNet top-1"
    return f"{row.parameters:,} parameters, {macs}, {top1}"
