"""`keras-mobilenets prune`."""

from argparse import ArgumentParser, Namespace

from keras_mobilenets.cli.output import say
from keras_mobilenets.cli.sources import add_trained_run, run_of
from keras_mobilenets.cli.startup import import_tensorflow
from keras_mobilenets.cli.training_arguments import add_recipe, recipe_changes

PURPOSE = "turn weights into zeros, or (--macs) remove whole channels, and train on; into RUN/prune or RUN/channels"
EXAMPLE = """keras-mobilenets prune runs/photos --sparsity 0.75
  keras-mobilenets prune model.h5 --data ~/photos --run runs/mine
  keras-mobilenets prune runs/photos --macs 0.5 --steps 3"""


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the verb's arguments."""
    add_trained_run(parser)
    group = parser.add_argument_group("weights")
    group.add_argument(
        "--sparsity", type=float, default=0.75, metavar="SHARE", help="of zeros in each pruned kernel (default: 0.75)"
    )
    group.add_argument(
        "--sparsity-schedule", choices=["polynomial", "constant"], default="polynomial", help="how sparsity grows"
    )
    group.add_argument("--pattern", choices=["2:4"], help="two zeros in every four neighbouring input channels")
    group.add_argument(
        "--by-layer", action="store_true", help="that share over all, more in the layers that a scan finds insensitive"
    )
    group = parser.add_argument_group("channels")
    group.add_argument(
        "--macs", type=float, metavar="SHARE", help="of the multiply-adds that shall remain, such as 0.5"
    )
    group.add_argument(
        "--importance", default="bn_scale", metavar="NAME", help="bn_scale, l1 or taylor (default: bn_scale)"
    )
    group.add_argument(
        "--steps", type=int, default=1, metavar="N", help="prune and train in so many turns (default: 1)"
    )
    add_recipe(parser, "default: the run's own, 3 epochs (more of few steps) at about half of its learning rate")


def run(options: Namespace) -> None:
    """Zeros in the weights, or fewer channels."""
    import_tensorflow(options)
    source, changes = run_of(options), recipe_changes(options)
    if options.macs is not None:
        given = {"macs": options.macs, "importance": options.importance, "steps": options.steps}
        made = source.compress("channels", given, changes)
    else:
        given = {"sparsity": options.sparsity, "schedule": options.sparsity_schedule, "pattern": options.pattern}
        given["by_layer"] = options.by_layer
        made = source.compress("prune", given, changes, show=print)
    say(f"{made} is the pruned model; next: keras-mobilenets convert {source.folder}")
