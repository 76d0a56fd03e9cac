"""The published latencies: the figures of their sources, of exactly the network that was asked for."""

import pytest

import keras_mobilenets as km
from keras_mobilenets.costs.latencies import latencies
from keras_mobilenets.errors import UserError


def figures(*arguments, **keywords):
    return [(each.device, each.latency_ms) for each in km.published_latency(*arguments, **keywords)]


def test_the_table_is_whole():
    assert len(latencies()) == 309
    assert sum(each.builder in km.list_models() for each in latencies()) == 300
    assert all(each.latency_ms > 0 and each.input_size >= 96 and each.source for each in latencies())
    assert len({(e.label, e.device, e.runtime, e.precision, e.source) for e in latencies()}) == 309


@pytest.mark.parametrize(
    ("model", "arguments", "rows"),
    [
        ("mobilenetv2", {"input_size": 224}, 36),
        ("MobileNetV2", {}, 40),
        ("MobileNetV2", {"alpha": 0.35, "input_size": 96}, 1),
        ("MobileNetV2", {"input_size": 224, "quantization": "int8"}, 9),
        ("MobileNetV2", {"quantization": "int16x8"}, 3),  # w8a16, and not w8a16_mixed_int16
        ("MobileNetV2", {"input_size": 224, "quantization": "dynamic"}, 0),  # the weights-only int8 of 2018 is another
        ("MobileNetV2", {"backend": "qualcomm"}, 18),
        ("MobileNetV1", {"alpha": 0.25, "backend": "nnapi"}, 4),
        ("MobileNetV3Large", {"backend": "xnnpack"}, 9),
        ("MobileNetV3Large", {"minimalistic": True}, 6),
        ("MobileNetV3Small", {"alpha": 1, "minimalistic": False, "dropout_rate": 0.1}, 24),
        ("EfficientNetLite0", {"backend": "edgetpu"}, 1),
        ("EfficientNetB4", {"input_size": 380}, 9),
        ("ResNet50", {}, 12),
        ("ShuffleNetV2", {"width": 1.0}, 12),
    ],
)
def test_the_rows_of_a_network_are_those_counted_in_the_sources(model, arguments, rows):
    assert len(km.published_latency(model, **arguments)) == rows


def test_figures_are_those_of_the_sources():
    # tensorflow/models, research/slim/nets/mobilenet: MobileNetV2 0.35 at 96 pixels, V3-Large 0.75 in float.
    assert figures("MobileNetV2", alpha=0.35, input_size=96) == [("Pixel 1", 4.5)]
    assert figures("MobileNetV3Large", alpha=0.75) == [("Pixel 1", 39.8), ("Pixel 2", 48.0), ("Pixel 3", 34.0)]
    # google/XNNPACK, README: MobileNet v3 small on one thread.
    one_thread = km.published_latency("MobileNetV3Small", backend="xnnpack")
    assert {e.device: e.latency_ms for e in one_thread if e.runtime.endswith("1 thread")} == {
        "Pixel 1": 12,
        "Pixel 2": 14,
        "Pixel 3a": 14,
    }
    (nnapi,) = km.published_latency("MobileNetV2", backend="nnapi", quantization="int8")
    assert (nnapi.device, nnapi.latency_ms) == ("Pixel 3 (Android 10)", 6.9) and "hosted_models.md" in nnapi.source


@pytest.mark.parametrize(
    "other",
    [
        {"alpha": 0.36},
        {"alpha": 1.0, "input_size": 223},
        {"stem_strides": 1},
        {"groups": 2},
    ],
)
def test_a_network_that_is_only_similar_has_none(other):
    assert km.published_latency("MobileNetV2", **other) == ()


def test_a_model_without_published_latency_has_none():
    assert km.published_latency("VGG16") == ()


@pytest.mark.parametrize(
    ("model", "arguments", "says"),
    [
        ("MobileNetV5", {}, "did you mean MobileNetV"),
        ("MobileNetV2", {"quantization": "float32"}, "quantization='float32': choose one of none, float16"),
        ("MobileNetV2", {"backend": "npu"}, "backend='npu': choose one of cpu, xnnpack, gpu"),
    ],
)
def test_what_is_not_there_is_refused_in_one_line(model, arguments, says):
    with pytest.raises(UserError) as refused:
        km.published_latency(model, **arguments)
    assert says in str(refused.value) and "\n" not in str(refused.value)
