"""`keras-mobilenets choose`."""

from argparse import ArgumentParser, Namespace

from keras_mobilenets.cli.models.limits import add_limits, count
from keras_mobilenets.cli.output import grid, show

PURPOSE = "pick a model for a phone and say why"
EXAMPLE = "keras-mobilenets choose --target litert --max-size-mb 4 --task accuracy"


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the verb's arguments."""
    add_limits(parser)
    parser.add_argument(
        "--target",
        default="nnapi",
        help="what runs the model: litert (an app with LiteRT, on CPU, GPU or NPU), nnapi (phones of Android 8.1 to "
        "14), xnnpack (a CPU), qualcomm (its NPU alone) or gpu (default: nnapi)",
    )
    parser.add_argument("--task", default="balanced", help="accuracy, balanced or speed (default: balanced)")
    parser.add_argument("--max-size-mb", type=count, default=float("inf"), metavar="MB", help="of the .tflite, at most")


def run(options: Namespace) -> None:
    """Picks a variant for a target and says why."""
    from keras_mobilenets.costs import selection

    rows = selection.select(max_parameters=options.max_params, max_macs=options.max_macs, family=options.family)
    ranked = selection.choose(rows, target=options.target, task=options.task, max_size_mb=options.max_size_mb)
    best = ranked[0]
    print(f"{best.variant.label}: {best.variant.imagenet_top1:.1f}% top-1 published, about {best.size_mb:.1f} MB")
    print(f"for {options.target}: {selection.targets()[options.target]}")
    print(f"{len(ranked)} of {len(rows)} variants fit; {options.task}: {selection.tasks()[options.task]}")
    for reason in best.reasons:
        print(f"  {reason}")
    table = grid("best first", "top-1", "M multiply-adds", "MB", "score")
    for choice in ranked[:5]:
        row = choice.variant
        figures = (
            f"{row.imagenet_top1:.1f}%",
            f"{row.macs_millions:,.0f}",
            f"{choice.size_mb:.1f}",
            f"{choice.score:.1f}",
        )
        table.add_row(row.label, *figures)
    show(table)
