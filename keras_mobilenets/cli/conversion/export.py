"""`keras-mobilenets export`."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from keras_mobilenets import pipeline
from keras_mobilenets.cli.startup import import_tensorflow
from keras_mobilenets.errors import UserError

PURPOSE = "write .tflite files as ONNX, for OpenVINO or TensorRT, or their figures for Model Explorer"
EXAMPLE = """keras-mobilenets export runs/photos --format onnx
  keras-mobilenets export model_int8.tflite --format openvino --out deploy
  keras-mobilenets export runs/photos --format model-explorer --on xnnpack nnapi:31"""
FORMATS = ("onnx", "openvino", "tensorrt", "model-explorer")


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the verb's arguments."""
    parser.add_argument("sources", nargs="+", metavar="RUN|FILE", help="run folders or float32 and int8 .tflite files")
    parser.add_argument("--format", choices=FORMATS, default="onnx", help="default: onnx")
    parser.add_argument("--nchw", action="store_true", help="input 1×C×H×W instead of 1×H×W×C")
    parser.add_argument("--dynamic-batch", action="store_true", help="any number of images at once")
    parser.add_argument("--out", metavar="DIR", help="folder of what is made of files (default: beside them)")
    parser.add_argument(
        "--on", nargs="+", default=["xnnpack"], metavar="TARGET", help="model-explorer: who is asked about delegation"
    )


def run(options: Namespace) -> None:
    """Writes the files, each checked against its .tflite."""
    import_tensorflow(options)
    from keras_mobilenets import tflite
    from keras_mobilenets.tflite.exports.exporter import SUFFIXES

    how = {"format": options.format, "layout": "nchw" if options.nchw else "nhwc"}
    how |= {"batch": None if options.dynamic_batch else 1}
    for source in map(Path, options.sources):
        if options.format == "model-explorer":
            if not source.is_dir():
                raise UserError(f"{source}: figures for Model Explorer are of a run folder")
            made = pipeline.Run(source).node_data(options.on)
        elif source.is_dir():
            if options.out:
                raise UserError("--out goes with files; what is made of a run stands in its own folder")
            made = pipeline.Run(source).export(**how)
        else:
            out = Path(options.out) / source.name if options.out else source
            made = [tflite.export(source, out.with_suffix(SUFFIXES[options.format]), **how)]
        for path in made:
            print(path)
