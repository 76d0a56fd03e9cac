"""The float tail of a detector, on the CPU behind every delegate, as each delegate's source and a run say."""

import warnings

import pytest

from keras_mobilenets import tflite
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.targets.checks import TARGETS
from keras_mobilenets.tflite.targets.compatibility import TAIL
from keras_mobilenets.tflite.targets.target_warning import TargetWarning, warn_if_not_delegated
from keras_mobilenets.tflite.targets.xnnpack import check_xnnpack

CHECKS = {
    # NNAPIDelegateKernel::Validate (nnapi_delegate.cc) has no case of kTfLiteBuiltinCustom: the default refuses it, at
    # any level, although NNAPI itself has ANEURALNETWORKS_DETECTION_POSTPROCESSING since API level 29.
    "nnapi": (tflite.check_nnapi, "nnapi_delegate.cc:3602"),
    # NewOperationParser (model_builder.cc) knows four custom operators, of which this is none.
    "gpu": (tflite.check_gpu, "model_builder.cc:3075"),
    "xnnpack": (check_xnnpack, ""),
}


@pytest.mark.parametrize("target", CHECKS)
@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_all_but_the_tail_is_one_partition(detector_files, target, kind):
    check, source = CHECKS[target]
    found = check(detector_files[kind])
    tail, renumbered = found.refused
    assert (tail.name, tail.reason, tail.source) == (flatbuffer.DETECTION, TAIL, source)
    assert (renumbered.name, renumbered.reason) == ("ADD_N", TAIL)
    assert not found.ok and found.is_whole and found.partitions == 1 and found.macs_share == 1
    assert TAIL in found.summary and TAIL in str(found)
    with warnings.catch_warnings():
        warnings.simplefilter("error", TargetWarning)
        warn_if_not_delegated(detector_files[kind], target)


@pytest.mark.parametrize("target", ["gpu", "qualcomm"])
def test_compilers_and_delegates_here_say_so_too(detector_files, target):
    if missing := TARGETS[target].environment.missing():
        pytest.skip(missing)
    found = tflite.check(detector_files["int8"], target)
    assert [(tail.name, tail.reason) for tail in found.refused] == [(flatbuffer.DETECTION, TAIL), ("ADD_N", TAIL)]
    assert found.evidence != "rules" and found.is_whole and found.macs_share == 1


def test_a_detector_whose_body_is_refused_is_not_whole(detector_files):
    early = tflite.check_nnapi(detector_files["int8"], 28)
    assert {operator.name for operator in early.refused} > {flatbuffer.DETECTION} and not early.is_whole


def test_no_runtime_delegates_the_tail_to_xnnpack(detector_files):
    from keras_mobilenets.tflite.runtime.interpreter import open_model

    model = open_model(detector_files["float32"])
    operators = flatbuffer.read(detector_files["float32"].read_bytes()).subgraphs[0].operators
    assert set(model.delegated_operators()) == set(range(len(operators) - 2))
