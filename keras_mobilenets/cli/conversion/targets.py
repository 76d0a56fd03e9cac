"""`keras-mobilenets targets`."""

from argparse import ArgumentParser, Namespace

from keras_mobilenets.cli.output import grid, say, show
from keras_mobilenets.errors import UserError

PURPOSE = "list what inspect --on and evaluate --on can ask on this machine, and set up what is missing"
EXAMPLE = """keras-mobilenets targets
  keras-mobilenets targets --install qualcomm"""


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the verb's arguments."""
    parser.add_argument(
        "--install",
        nargs="+",
        default=[],
        metavar="NAME",
        help="fetch a target's own tools into an environment beside the others, not into this one; "
        "says first how much it is and what its licence allows",
    )


def run(options: Namespace) -> None:
    """Lists the targets, or installs what some of them need."""
    if options.install:
        for name in options.install:
            _install(name)
        return
    from keras_mobilenets.tflite.targets.checks import TARGETS, full_name

    table = grid("target", "what it is", "known by", "evaluate --on", "here", "what makes it so")
    for name, target in TARGETS.items():
        needs = target.environment
        ready = needs is None or needs.is_ready()
        table.add_row(
            full_name(name),
            target.what,
            target.known,
            "yes" if target.run else "no",
            "yes" if ready else "no",
            "" if needs is None or ready else needs.command,
        )
    variants = {f"{name}{target.separator}": "|".join(target.variants) for name, target in TARGETS.items()}
    show(table, *(f"{start}{known}" for start, known in variants.items() if known))


def _install(name: str) -> None:
    from rich.console import Console
    from rich.markup import escape

    from keras_mobilenets.tflite.targets.accelerators.environments import ENVIRONMENTS

    if name not in ENVIRONMENTS:
        raise UserError(f"unknown environment {name!r}: give one of {', '.join(ENVIRONMENTS)}")
    environment = ENVIRONMENTS[name]
    if environment.is_ready():
        say(f"{name} is there already")
        return
    wanted, into = (
        (environment.packages, environment.folder) if environment.packages else (environment.debian, "the system")
    )
    say(f"{name}: {', '.join(wanted)}, {environment.download_mb} MB with what they need, into {into}")
    say(f"licence: {environment.licence}")
    with Console(stderr=True).status(f"Installing {name}") as status:
        environment.install(lambda line: status.update(f"Installing {name}: {escape(line[:50])}"))
    say(f"{name} is ready")
