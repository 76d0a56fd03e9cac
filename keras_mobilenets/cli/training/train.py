"""`keras-mobilenets train`."""

import tempfile
from argparse import ArgumentParser, Namespace

from keras_mobilenets import pipeline
from keras_mobilenets.cli.model_arguments import add_model, builder_arguments
from keras_mobilenets.cli.output import say
from keras_mobilenets.cli.sources import add_run
from keras_mobilenets.cli.startup import import_tensorflow
from keras_mobilenets.cli.training.process_arguments import add_processes, check, join
from keras_mobilenets.cli.training_arguments import add_training, add_transfer, training, transfer

PURPOSE = "train a model into a run folder; a killed training goes on where it was"
EXAMPLE = """keras-mobilenets train MobileNetV2 --alpha 0.5 --data ~/my_photos --size 96 --run runs/photos

example with two processes, the first of them on 10.0.0.1, the second with --process-id 1:
  keras-mobilenets train MobileNetV2 --data ~/my_photos --run runs/photos \\
      --distributed --coordinator 10.0.0.1:7000 --processes 2 --process-id 0"""


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the verb's arguments."""
    add_model(parser)
    add_training(parser)
    add_transfer(parser)
    add_run(parser)
    add_processes(parser)


def run(options: Namespace) -> None:
    """Trains into a run folder."""
    check(options)
    import_tensorflow(options)
    from keras_mobilenets.training.distribution import process_group

    join(options)
    with process_group.abort_on_error(), tempfile.TemporaryDirectory() as elsewhere:
        filled = pipeline.Run(options.run if process_group.is_first() else elsewhere)
        filled.train(options.model, builder_arguments(options), **training(options), **transfer(options))
    if process_group.is_first():
        say(f"{filled.model_file} is the best model of the training; next: keras-mobilenets convert {filled.folder}")
