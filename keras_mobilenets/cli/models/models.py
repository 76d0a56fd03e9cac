"""`keras-mobilenets models`."""

import math
from argparse import ArgumentParser, Namespace

from keras_mobilenets.cli.models.limits import add_limits
from keras_mobilenets.cli.output import grid, show
from keras_mobilenets.errors import UserError

PURPOSE = "list every model with its published figures"
EXAMPLE = "keras-mobilenets models --max-params 4M --max-macs 300M --sort top1"


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the verb's arguments."""
    add_limits(parser)
    parser.add_argument("--sort", default="", metavar="BY", help="top1 (best first), parameters or macs (least first)")


def run(options: Namespace) -> None:
    """Lists the builders and what was published of them."""
    import keras_mobilenets as km
    from keras_mobilenets.costs.selection import select

    rows = select(
        max_parameters=options.max_params, max_macs=options.max_macs, family=options.family, sort=options.sort
    )
    table = grid("model", "arguments", "input", "parameters", "multiply-adds", "ImageNet top-1")
    for row in rows:
        arguments = ", ".join(f"{key}={value}" for key, value in row.arguments.items())
        macs, top1 = f"{row.macs_millions:,.1f} M", f"{row.imagenet_top1:.1f}%"
        table.add_row(row.builder, arguments, str(row.input_size), f"{row.parameters:,}", macs, top1)
    show(table)
    if not rows:
        raise UserError("no published variant is within these limits")
    published = {row.builder for row in select()}
    rest = [name for name in km.list_models() if name not in published and options.family.lower() in name.lower()]
    if rest and math.isinf(options.max_params) and math.isinf(options.max_macs):
        print(f"without published figures: {', '.join(rest)}")
