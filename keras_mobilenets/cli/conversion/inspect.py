"""`keras-mobilenets inspect`."""

from argparse import ArgumentParser, Namespace

from keras_mobilenets.cli.sources import add_sources, tflite_files

PURPOSE = "show what is in .tflite files"
EXAMPLE = "keras-mobilenets inspect runs/photos"


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the verb's arguments."""
    add_sources(parser)
    parser.add_argument("--operators", action="store_true", help="also list every operator with its tensors")
    parser.add_argument(
        "--nnapi", type=int, metavar="LEVEL", help="also say which operators NNAPI takes at this API level, 27 to 35"
    )
    parser.add_argument("--gpu", action="store_true", help="also say which operators the GPU delegate takes")


def run(options: Namespace) -> None:
    """Shows what is in .tflite files."""
    from keras_mobilenets import tflite

    for number, path in enumerate(tflite_files(options.sources)):
        found = tflite.inspect(path)
        print("\n" * bool(number), end="")
        print(found)
        if options.nnapi is not None:
            print(f"\n{tflite.check_nnapi(path, options.nnapi)}")
        if options.gpu:
            print(f"\n{tflite.check_gpu(path)}")
        for operator in found.operators if options.operators else ():
            shapes = " → ".join(
                ", ".join(f"{t.dtype} {'×'.join(map(str, t.shape))}" for t in side)
                for side in (operator.inputs, operator.outputs)
            )
            print(f"{operator.index:4} {operator.name} v{operator.version}: {shapes}")
