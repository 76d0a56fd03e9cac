"""`keras-mobilenets android bundle`."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from keras_mobilenets.cli.output import say
from keras_mobilenets.cli.sources import add_adoption, add_pixels, add_sources, converted
from keras_mobilenets.cli.startup import import_tensorflow

PURPOSE = "put models into a folder with probes and labelled images, for the app"
EXAMPLE = """keras-mobilenets android bundle runs/photos runs/small --out runs/bundle
  keras-mobilenets android bundle model.h5 --data ~/photos --run runs/mine --out runs/bundle"""


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the verb's arguments."""
    add_sources(parser, "run folders, .tflite files or model files")
    parser.add_argument(
        "--probes", type=int, default=4, metavar="N", help="inputs with this machine's answers (default: 4)"
    )
    add_pixels(parser)
    add_adoption(parser)
    add_bundle(parser)


def run(options: Namespace) -> None:
    """Puts runs into a bundle."""
    import_tensorflow(options)
    from keras_mobilenets import tflite

    sources = converted(options.sources, options, ["pixels"])
    made = tflite.bundle(
        sources,
        options.out,
        probes=options.probes,
        labelled=options.labelled,
        title=options.title,
        pixels=options.pixels,
    )
    describe(made)


def add_bundle(parser: ArgumentParser) -> None:
    """Adds where a bundle goes and what is in it."""
    parser.add_argument("--out", required=True, metavar="DIR", help="the bundle; one that is there is replaced")
    parser.add_argument("--title", metavar="TEXT", help="what the app calls it (default: the folder's name)")
    parser.add_argument(
        "--labelled", type=int, default=200, metavar="N", help="test images for the app's top-1 or mAP (default: 200)"
    )


def describe(folder: Path) -> None:
    """Prints what is in a bundle."""
    from keras_mobilenets.tflite.bundles.manifest import read_bundle

    made = read_bundle(folder)
    for model in made.models:
        figures = (("top-1", model.host_top1), ("mAP@0.5", model.host_map50), ("mAP", model.host_map))
        known = ", ".join(f"{name} {figure:.1%}" for name, figure in figures if figure is not None)
        level = f"from API level {model.nnapi_min_api_level}" if model.nnapi_min_api_level else "in part"
        print(f"{model.name}  {model.size_bytes / 1e6:.2f} MB  {known or 'top-1 unknown'}  NNAPI {level}")
    size = f"{len(made.models)} models, {made.size_bytes / 1e6:.1f} MB"
    say(f"{folder}: {size}; next: keras-mobilenets android run --bundle {folder}")
