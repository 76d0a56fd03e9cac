"""`keras-mobilenets export`."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from keras_mobilenets import pipeline
from keras_mobilenets.cli.output import say
from keras_mobilenets.cli.startup import import_tensorflow
from keras_mobilenets.errors import UserError

PURPOSE = "write .tflite files as ONNX, for OpenVINO or TensorRT, or their figures for Model Explorer"
EXAMPLE = """keras-mobilenets export runs/photos --format onnx
  keras-mobilenets export model_int8.tflite --format openvino --out deploy
  keras-mobilenets export runs/photos --format tensorrt --precision int8
  keras-mobilenets export runs/photos --format model-explorer --on xnnpack nnapi:31"""
FORMATS = ("onnx", "openvino", "tensorrt", "model-explorer")


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the verb's arguments."""
    parser.add_argument("sources", nargs="+", metavar="RUN|FILE", help="run folders or float32 and int8 .tflite files")
    parser.add_argument("--format", choices=FORMATS, default="onnx", help="default: onnx")
    parser.add_argument("--nchw", action="store_true", help="input 1×C×H×W instead of 1×H×W×C")
    parser.add_argument("--dynamic-batch", action="store_true", help="any number of images at once")
    parser.add_argument(
        "--precision", choices=("int8", "fp16"), help="tensorrt: default int8 of int8 files, fp16 of float32 ones"
    )
    parser.add_argument(
        "--calibration", metavar="DIR", help="tensorrt: images on which int8 of a float32 FILE is calibrated"
    )
    parser.add_argument("--out", metavar="DIR", help="folder of what is made of files (default: beside them)")
    parser.add_argument(
        "--on", nargs="+", default=["xnnpack"], metavar="TARGET", help="model-explorer: who is asked about delegation"
    )


def run(options: Namespace) -> None:
    """Writes the files, each checked against its .tflite."""
    stems = [Path(source).stem for source in options.sources]
    twice = [source for place, source in enumerate(options.sources) if stems[place] in stems[:place]]
    if options.out and twice:
        raise UserError(f"{twice[0]} has the name of another file: give each an --out of its own")
    import_tensorflow(options)
    from keras_mobilenets import tflite

    how: dict[str, Any] = {"format": options.format, "layout": "nchw" if options.nchw else "nhwc"}
    how |= {"batch": None if options.dynamic_batch else 1, "precision": options.precision}
    for source in map(Path, options.sources):
        if options.format == "model-explorer":
            if not source.is_dir():
                raise UserError(f"{source}: figures for Model Explorer are of a run folder")
            made = pipeline.Run(source).node_data(options.on)
        elif source.is_dir():
            if options.out or options.calibration:
                raise UserError("--out and --calibration go with files; a run has its own folder and its own data")
            made = pipeline.Run(source).export(**how)
        else:
            made = [tflite.export(source, folder=options.out, calibration=options.calibration, **how)]
        for path in made:
            print(path)
            if options.format == "tensorrt":
                _build(path)


def _build(folder: Path) -> None:
    """Builds the engine, or says what is missing for it: the folder is there for another machine."""
    from keras_mobilenets import tflite

    try:
        print(tflite.build_engine(folder))
    except UserError as missing:
        say(str(missing))
