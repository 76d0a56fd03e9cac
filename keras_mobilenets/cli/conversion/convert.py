"""`keras-mobilenets convert`."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from keras_mobilenets import pipeline
from keras_mobilenets.cli.conversion_arguments import add_conversion, int8
from keras_mobilenets.cli.sources import add_pixels
from keras_mobilenets.cli.startup import import_tensorflow
from keras_mobilenets.errors import UserError

PURPOSE = "convert a trained model to .tflite files"
EXAMPLE = "keras-mobilenets convert runs/photos --quantize float32 int8"


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the verb's arguments."""
    parser.add_argument(
        "source", metavar="RUN", help="run folder, a .keras file, or a PyTorch file (.pth, .safetensors)"
    )
    add_conversion(parser)
    parser.add_argument(
        "--torch",
        metavar="NAME",
        help="the PyTorch file's model in timm or torchvision, such as mobilenet_v2 (default: by the file's name)",
    )
    parser.add_argument(
        "--size", type=int, metavar="PIXELS", help="side of the images of a PyTorch model or of a model of open size"
    )
    add_pixels(parser)
    parser.add_argument("--data", help="calibration images: shapes, a TFDS name or a folder (default: the run's data)")
    parser.add_argument("--data-dir", help="where TFDS data sets are kept")
    parser.add_argument(
        "--c-source", action="store_true", help="also write int8 files as C++ source for a microcontroller project"
    )
    parser.add_argument(
        "--out", metavar="DIR", help="folder of the .tflite files (default: the run, or beside the file)"
    )


def run(options: Namespace) -> None:
    """Converts a run's model, a .keras file, or PyTorch's weights."""
    import_tensorflow(options)
    from keras_mobilenets import tflite
    from keras_mobilenets.tflite.graph import flatbuffer

    source = Path(options.source)
    if source.is_dir():
        if options.out:
            raise UserError("--out goes with a file; a run keeps its .tflite files in its own folder")
        if options.torch or options.size:
            raise UserError("--torch and --size go with a file, not with a run folder")
        filled = pipeline.Run(source)
        if options.pixels:
            filled.say_pixels(options.pixels)
        data = filled.data(options.data, options.data_dir) if options.data else None
        paths = filled.convert(options.quantize, options.calibration, options.target, data, **int8(options))
    else:
        asked = options.quantize, options.calibration, options.target, options.data, options.data_dir, options.out
        paths = pipeline.convert_file(
            source, *asked, options.pixels, torch=options.torch, size=options.size, **int8(options)
        )
    for path in paths:
        said = flatbuffer.description(path.read_bytes())
        print(f"{path}  {path.stat().st_size / 1e6:.2f} MB{f'  {said}' if said.startswith('int8') else ''}")
        if options.c_source and path.stem.endswith("int8"):
            print("  ".join(map(str, tflite.c_source(path))))
