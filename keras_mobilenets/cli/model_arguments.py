"""The arguments that name a model."""

import ast
from argparse import ArgumentParser, Namespace
from typing import Any

from keras_mobilenets.errors import UserError

OF_DATA = "the data set's usual one, such as 32 of cifar10; 64 of a folder, 320 with boxes"


def add_model(parser: ArgumentParser, usual: str = OF_DATA) -> None:
    """Adds the builder, its width, its input's size, of which it says what is usual, and whatever else it takes."""
    group = parser.add_argument_group("model")
    group.add_argument("model", metavar="MODEL", help="a name that `keras-mobilenets models` lists")
    group.add_argument("--alpha", type=float, help="width multiplier (default: 1.0)")
    group.add_argument(
        "--size",
        type=int,
        metavar="PIXELS",
        help=f"side of the input, samples of a recording, or items of a history (default: {usual})",
    )
    group.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="ARGUMENT=VALUE",
        help="any further argument of the builder, such as stem_strides=1",
    )


def builder_arguments(options: Namespace) -> dict[str, Any]:
    """The builder's arguments: --alpha, and what --set gives, read as Python values where they are ones."""
    arguments: dict[str, Any] = {} if options.alpha is None else {"alpha": options.alpha}
    for pair in options.set:
        name, equals, text = pair.partition("=")
        if not equals or not name.isidentifier():
            raise UserError(f"--set {pair}: write it as ARGUMENT=VALUE, for example --set stem_strides=1")
        try:
            arguments[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            arguments[name] = text
    return arguments
