"""`keras-mobilenets distill`."""

from argparse import ArgumentParser, Namespace

from keras_mobilenets import pipeline
from keras_mobilenets.cli.model_arguments import add_model, builder_arguments
from keras_mobilenets.cli.output import say
from keras_mobilenets.cli.sources import add_run
from keras_mobilenets.cli.startup import import_tensorflow
from keras_mobilenets.cli.training_arguments import add_training, training

PURPOSE = "train a small model on what a large one says of each image, beside the labels"
EXAMPLE = "keras-mobilenets distill MobileNetV3Small --teacher runs/large --data ~/my_photos --size 96 --run runs/small"


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the verb's arguments."""
    add_model(parser)
    parser.add_argument(
        "--teacher", required=True, metavar="RUN|FILE", help="run folder or .keras file of the trained large model"
    )
    parser.add_argument("--temperature", type=float, default=4.0, metavar="T", help="softens both (default: 4)")
    parser.add_argument(
        "--teacher-share", type=float, default=0.7, metavar="ALPHA", help="of the loss, 0 to 1 (default: 0.7)"
    )
    parser.add_argument(
        "--cached-views",
        type=int,
        metavar="N",
        help="show each image in N fixed augmented views, ask the teacher once about each (default: new ones)",
    )
    parser.add_argument("--cache-file", metavar="FILE", help="where its answers are kept (default: in the run folder)")
    parser.add_argument(
        "--weights", metavar="SOURCE", help="the student starts from imagenet, or from a file (default: from scratch)"
    )
    add_training(parser)
    add_run(parser)


def run(options: Namespace) -> None:
    """Trains into a run folder with a teacher."""
    import_tensorflow(options)
    filled = pipeline.Run(options.run)
    filled.distill(
        options.teacher,
        options.model,
        builder_arguments(options),
        temperature=options.temperature,
        alpha=options.teacher_share,
        cached_views=options.cached_views,
        cache_file=options.cache_file,
        weights=options.weights,
        **training(options),
    )
    say(f"{filled.model_file} is the best model of the training; next: keras-mobilenets convert {filled.folder}")
