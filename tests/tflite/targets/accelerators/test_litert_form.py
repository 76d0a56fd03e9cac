"""The form "litert" of trained networks: the same answers on CPU, GPU and NPU; the rank bug fails the test."""

import pytest

from keras_mobilenets import tflite
from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.targets.accelerators.environments import ENVIRONMENTS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(2400),  # training takes eight minutes on a busy machine
    *(
        pytest.mark.skipif(not ENVIRONMENTS[name].is_ready(), reason=ENVIRONMENTS[name].missing())
        for name in ("gpu", "qualcomm")
    ),
]
TARGETS = ("gpu", "qualcomm:SM8750")


@pytest.fixture(scope="module")
def written(trained, tmp_path_factory):
    """Writes a network in the form, under a name."""
    model, data = trained
    calibration, _ = data.images("train", 128, seed=0)
    folder = tmp_path_factory.mktemp("litert")
    return lambda name: tflite.convert(
        model, folder / f"{name}.tflite", quantize="int8", effort="low", calibration=calibration, target="litert"
    )


@pytest.fixture(scope="module")
def images(trained):
    return trained[1].images("test", 200, seed=0)


def _assert_whole_and_right(path, images, target):
    check = tflite.check(path, target)
    assert check.ok and (check.delegated, check.partitions) == (check.total, 1)
    assert tflite.evaluate(path, images, on=target).agreement >= 0.95


def test_one_file_answers_alike_on_cpu_gpu_and_npu(written, images):
    path, (pixels, labels) = written("m"), images
    assert tflite.check(path, "xnnpack").partitions == 1
    assert (tflite.evaluate(path, pixels).predictions.argmax(-1) == labels).mean() >= 0.9
    for target in TARGETS:
        _assert_whole_and_right(path, pixels, target)


def test_the_file_with_the_rank_bug_fails_on_gpu_and_npu(written, images, rank_bug):
    with rank_bug(), pytest.warns(tflite.TargetWarning, match="wrong answers"):
        path = written("bug")
    assert (tflite.evaluate(path, images[0]).predictions.argmax(-1) == images[1]).mean() >= 0.9  # the CPU minds nothing
    for target in TARGETS:
        with pytest.raises(AssertionError):
            _assert_whole_and_right(path, images[0], target)
        with pytest.raises(UserError):
            tflite.evaluate(path, images[0], on=target)
