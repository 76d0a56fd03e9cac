"""`keras-mobilenets zeroshot`."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from keras_mobilenets.cli.output import say
from keras_mobilenets.cli.startup import import_tensorflow
from keras_mobilenets.errors import UserError

PURPOSE = "make a classifier of a CLIP's weights and the names of its classes"
EXAMPLE = 'keras-mobilenets zeroshot mobileclip_s0.pt --labels cat dog --template "a photo of a {}." --out pets.keras'


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the verb's arguments."""
    parser.add_argument("weights", metavar="FILE", help="weights of both towers: .safetensors, .pt, or a hub id")
    parser.add_argument("--labels", nargs="+", required=True, metavar="NAME", help="the classes, or a file, one a line")
    parser.add_argument(
        "--template",
        nargs="+",
        default=["a photo of a {}."],
        metavar="TEXT",
        help='sentences around a label, whose mean counts (default: "a photo of a {}.")',
    )
    parser.add_argument("--tokenizer", metavar="FILE", help="CLIP's merges or a tokenizer.json (default: open_clip's)")
    parser.add_argument(
        "--torch", metavar="NAME", help="the model, such as mobileclip_s0 (default: by the file's name)"
    )
    parser.add_argument("--size", type=int, default=256, metavar="PIXELS", help="side of the images (default: 256)")
    parser.add_argument("--out", required=True, metavar="FILE", help="the .keras file, which every other verb takes")


def run(options: Namespace) -> None:
    """Writes the classifier."""
    if not options.out.endswith(".keras"):
        raise UserError(f"--out {options.out}: give the name of a .keras file")
    import_tensorflow(options)
    import keras_mobilenets as km
    from keras_mobilenets import files, training
    from keras_mobilenets.weights import torch_models

    labels = _labels(options.labels)
    name = options.torch or torch_models.parsed(options.weights)[0]
    text = km.from_torch(f"{name}_text", options.weights)
    vectors = training.embeddings(text, labels, tokenizer=options.tokenizer, templates=options.template)
    image = km.from_torch(name, options.weights, input_shape=(options.size, options.size, 3))
    model = km.zero_shot(image, vectors, labels)
    with files.atomic(options.out) as path:
        model.save(path)
    say(f"{options.out}: {len(labels)} classes; next: keras-mobilenets convert {options.out} --data PHOTOS")


def _labels(given: list[str]) -> list[str]:
    path = Path(given[0])
    if len(given) > 1 or not path.is_file():
        return given
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
