"""`keras-mobilenets summary`."""

from argparse import ArgumentParser, Namespace

from keras_mobilenets.cli.model_arguments import add_model, builder_arguments
from keras_mobilenets.cli.startup import import_tensorflow

PURPOSE = "print a model's layers with parameters and multiply-adds"
EXAMPLE = "keras-mobilenets summary MobileNetV2 --alpha 0.5 --size 224"


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the verb's arguments."""
    add_model(parser, usual="224, or that of the paper of another input")
    parser.add_argument("--classes", type=int, default=1000, help="number of classes (default: 1000)")
    parser.add_argument(
        "--compare",
        action="store_true",
        help="instead of the layers: what depthwise separable convolutions save beside standard ones",
    )


def run(options: Namespace) -> None:
    """Prints the layer table."""
    import_tensorflow(options)
    import keras_mobilenets as km
    from keras_mobilenets.models.catalog import builder_named

    builder = builder_named(options.model)
    size = options.size or (224 if builder.kind == "image" else builder.default_size)
    shapes = {"image": (size, size, 3), "clip": (builder.frames, size, size, 3)}
    shape = shapes.get(builder.kind, (options.size,) if options.size else None)
    model = km.create_model(options.model, input_shape=shape, classes=options.classes, **builder_arguments(options))
    if options.compare:
        from keras_mobilenets.costs.separable_savings import compare

        print(compare(model))
    else:
        print(km.cost(model))
