"""Small data: scikit-learn's 1,797 digits as a folder, everything at its default."""

import pytest
from benchmarks.training.digits import digits_folder

from keras_mobilenets import pipeline

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    pytest.importorskip("sklearn.datasets", reason="make world")
    return digits_folder(tmp_path_factory.mktemp("digits"))


def test_both_prunings_stay_within_a_point_of_float(digits, tmp_path):
    run = pipeline.Run(tmp_path / "run")
    rows = run.pipeline(
        "MobileNetV2", data=str(digits), image_size=32, compress={"ptq": None, "prune": None, "channels": None}
    ).rows
    top1 = {(row.quantization, row.compression): row.top1 for row in rows}
    assert top1["none", None] > 0.9
    for compression in (None, "prune", "channels"):
        assert top1["int8", compression] >= top1["none", None] - 0.01, top1
