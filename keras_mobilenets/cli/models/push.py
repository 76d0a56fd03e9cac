"""`keras-mobilenets push`."""

from argparse import ArgumentParser, Namespace

from keras_mobilenets import pipeline
from keras_mobilenets.cli.output import say

PURPOSE = "put a run on the Hugging Face hub, with a model card made from it"
EXAMPLE = "keras-mobilenets push runs/photos me/my-mobilenet --license apache-2.0"


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the verb's arguments."""
    parser.add_argument("run", metavar="RUN", help="run folder that `train` and `convert` filled")
    parser.add_argument("repository", metavar="OWNER/NAME", help="made when missing")
    parser.add_argument("--license", metavar="NAME", help="of the weights, such as apache-2.0")
    parser.add_argument(
        "--private", action="store_true", help="in a private repository; refused where it is public already"
    )
    parser.add_argument("--card", action="store_true", help="print the model card and push nothing")


def run(options: Namespace) -> None:
    """Pushes the run, or shows its card."""
    folder = pipeline.Run(options.run)
    if options.card:
        from keras_mobilenets.pipeline.deployment.publication import model_card

        print(model_card(folder, options.repository, options.license))
        return
    address = folder.push(options.repository, license=options.license, private=options.private)
    say(f"{options.run} is pushed")
    print(address)
