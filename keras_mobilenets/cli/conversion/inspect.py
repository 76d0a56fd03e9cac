"""`keras-mobilenets inspect`."""

from argparse import ArgumentParser, Namespace

from keras_mobilenets.cli.sources import add_size, add_sources, input_shape, tflite_files

PURPOSE = "show what is in .tflite files, and which operators a target takes"
EXAMPLE = """keras-mobilenets inspect runs/photos
  keras-mobilenets inspect runs/photos --on xnnpack nnapi:30 gpu"""


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the verb's arguments."""
    add_sources(parser)
    add_size(parser)
    parser.add_argument("--operators", action="store_true", help="also list every operator with its tensors")
    parser.add_argument(
        "--on",
        nargs="+",
        default=[],
        metavar="TARGET",
        help="also ask targets what they take, such as gpu or nnapi:30; keras-mobilenets targets lists them",
    )
    parser.add_argument(
        "--nnapi", type=int, metavar="LEVEL", help="also say which operators NNAPI takes at this API level, 27 to 35"
    )
    parser.add_argument("--gpu", action="store_true", help="also say which operators the GPU delegate takes")


def run(options: Namespace) -> None:
    """Shows what is in .tflite files."""
    from keras_mobilenets import tflite
    from keras_mobilenets.tflite.targets.checks import find

    for target in options.on:
        find(target)  # a wrong name is refused before anything is shown
    for number, path in enumerate(tflite_files(options.sources)):
        found = tflite.inspect(path, input_shape(options))
        print("\n" * bool(number), end="")
        print(found)
        if options.nnapi is not None:
            print(f"\n{tflite.check_nnapi(path, options.nnapi)}")
        if options.gpu:
            print(f"\n{tflite.check_gpu(path)}")
        for target in options.on:
            print(f"\n{tflite.check(path, target)}")
        for operator in found.operators if options.operators else ():
            shapes = " → ".join(
                ", ".join(f"{t.dtype} {'×'.join(map(str, t.shape))}".strip() for t in side)
                for side in (operator.inputs, operator.outputs)
            )
            graph = f" of graph {operator.graph}" if operator.graph else ""
            print(f"{operator.index:4}{graph} {operator.name} v{operator.version}: {shapes}")
