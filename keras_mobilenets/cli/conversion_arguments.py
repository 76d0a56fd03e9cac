"""The arguments of a conversion."""

from argparse import ArgumentParser, Namespace
from typing import Any

from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.targets.operator_forms import FORMS


def add_conversion(parser: ArgumentParser) -> None:
    """Adds what is written and how int8 comes about."""
    group = parser.add_argument_group("conversion")
    group.add_argument(
        "--quantize",
        nargs="+",
        default=["float32", "float16", "int8"],
        choices=["float32", "float16", "dynamic", "int8"],
        help="which .tflite files to write (default: float32 float16 int8)",
    )
    group.add_argument(
        "--calibration",
        type=int,
        default=200,
        metavar="N",
        help="training images that int8 is calibrated on (default: 200)",
    )
    group.add_argument(
        "--target",
        choices=list(FORMS),
        default="nnapi",
        help="what the int8 file is for: litert (an app with LiteRT, on CPU, GPU or NPU; also named xnnpack), nnapi "
        "(phones of Android 8.1 to 14) or gpu (default: nnapi)",
    )
    group = parser.add_argument_group("int8 after training")
    group.add_argument(
        "--calibration-method",
        choices=["auto", "minmax", "percentile", "mse"],
        default="auto",
        help="which values an int8 range covers: all, 99.99%%, those of least squared error; auto measures which "
        "is best, with equalization and bias correction or without (default: auto)",
    )
    group.add_argument(
        "--effort",
        choices=["low", "default", "high"],
        default="default",
        help="how much is tried: one recipe; several; or training against the float model too (default: default)",
    )
    group.add_argument(
        "--leave-in-float",
        nargs="+",
        default=[],
        metavar="LAYER",
        help="Keras layers that int8 shall not touch; auto: the blocks that buy most accuracy for their time",
    )
    group.add_argument(
        "--max-slowdown", type=float, metavar="X", help="of auto: latency over that of all int8 (default: 1.15)"
    )
    group.add_argument("--min-sqnr", type=float, metavar="DB", help="of auto: SQNR of the output that is enough")
    group.add_argument(
        "--leave-worst", type=int, default=0, metavar="K", help="or so many layers, those that int8 hurts most"
    )
    group.add_argument("--equalize", action="store_true", help="equalize the channels of activations first")
    group.add_argument("--bias-correction", action="store_true", help="correct the biases layer by layer")


def int8(options: Namespace) -> dict[str, Any]:
    """What the options say of int8 after training, as arguments of `tflite.convert`."""
    if options.leave_in_float and options.leave_worst:
        raise UserError("--leave-in-float names the layers, --leave-worst counts them; give one of the two")
    is_auto = options.leave_in_float == ["auto"]
    return {
        "calibration_method": options.calibration_method,
        "effort": options.effort,
        "leave_in_float": "auto" if is_auto else options.leave_in_float or options.leave_worst,
        "max_slowdown": options.max_slowdown,
        "min_sqnr": options.min_sqnr,
        "equalize": options.equalize,
        "bias_correction": options.bias_correction,
    }
