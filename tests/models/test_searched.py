"""The builder of searched networks and the specifications that it takes."""

import numpy as np
import pytest
from networks import answers, coloured_noise, randomize

import keras_mobilenets as km
from keras_mobilenets.models.mobilenets.searched import mobilenet_v2_spec
from keras_mobilenets.models.mobilenets.spec import Spec, Stage, read_spec
from keras_mobilenets.pipeline.model import usual_size

SPEC = Spec(
    (Stage(8, expansion=1), Stage(16, 2, 2, 3, 5, True, "hard_silu"), Stage(24, 2, 2, 4, activation="relu")),
    input_size=48,
    stem_filters=8,
    head_filters=64,
    activation="hard_silu",
)


def test_mobilenet_v2s_table_gives_mobilenet_v2():
    theirs = randomize(km.MobileNetV2((64, 64, 3), 0.35, classes=7))
    ours = km.Searched((64, 64, 3), spec=mobilenet_v2_spec(0.35), classes=7)
    assert [weight.path for weight in ours.weights] == [weight.path for weight in theirs.weights]
    ours.set_weights(theirs.get_weights())
    images = np.random.default_rng(0).uniform(-1, 1, (2, 64, 64, 3))
    np.testing.assert_array_equal(answers(ours, images), answers(theirs, images))
    by_width = km.create_model("Searched", input_shape=(64, 64, 3), alpha=0.35, classes=7)
    assert [weight.shape for weight in by_width.weights] == [weight.shape for weight in theirs.weights]


def test_a_specification_round_trips_through_json_and_gives_the_input_size(tmp_path):
    path = SPEC.write(tmp_path / "net.json")
    assert read_spec(path) == read_spec(SPEC.record()) == SPEC
    model = km.create_model("Searched", spec=str(path), classes=5)
    assert (model.input_shape, model.name) == ((None, 48, 48, 3), f"searched_{SPEC.digest()}")
    assert model.get_layer("block_1_depthwise").kernel_size == (5, 5)
    assert {"block_1_se_scale", "block_2_add", "block_4_expand_relu", "head_hard_silu"} <= {
        x.name for x in model.layers
    }
    assert km.create_model("Searched", spec=SPEC, include_top=False).input_shape == (None, None, None, 3)


def test_a_run_of_a_specification_is_announced_and_trained_at_its_input_size():
    assert usual_size("shapes", {"spec": mobilenet_v2_spec(0.35, 48).record()}) == 48
    assert usual_size("shapes", {"alpha": 0.35}) == usual_size("shapes") == 64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stages": []}, "1 to 64 stages"),
        ({"stages": [{"repeats": 2}]}, "a stage needs 'filters'"),
        ({"stages": [{"filters": 8, "kernel_size": 4}]}, "kernel_size must be an odd number"),
        ({"stages": [{"filters": True}]}, "filters must be a whole number"),
        ({"stages": {"filters": 8}}, "stages must be a list"),
        ({"activation": "gelu"}, "activation must be one of relu6"),
        ({"input_size": 8}, "input_size must be a whole number from 32"),
        ({"widths": 3}, "a spec has no 'widths'"),
    ],
)
def test_a_wrong_specification_is_refused_in_one_line(change, message):
    with pytest.raises(km.UserError, match=message) as refusal:
        km.create_model("Searched", spec=SPEC.record() | change)
    assert "\n" not in str(refusal.value)


def test_a_file_that_is_no_specification_is_refused(tmp_path):
    with pytest.raises(km.UserError, match="does not exist"):
        km.create_model("Searched", spec=tmp_path / "missing.json")
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(km.UserError, match=r"list.json is no specification of a network: spec must be an object"):
        km.create_model("Searched", spec=tmp_path / "list.json")


@pytest.mark.slow  # the road with other networks is tested elsewhere; 30 seconds
def test_all_of_the_road_works_on_a_searched_network(tmp_path):
    from keras_mobilenets import tflite, training

    model = randomize(km.create_model("Searched", spec=SPEC, classes=5))
    model.save(tmp_path / "m.keras")
    again = km.create_model("Searched", spec=SPEC, classes=5, weights=tmp_path / "m.keras")
    images = coloured_noise(12, 48).astype(np.float32) / 127.5 - 1
    np.testing.assert_array_equal(answers(again, images), answers(model, images))
    assert list(km.features(model).output) == ["stride_4", "stride_8"]
    pruned = training.prune_channels(model, 0.7)
    assert km.cost(pruned).macs < 0.75 * km.cost(model).macs
    for network in (model, pruned, training.quantize_aware(model, images)):
        path = tflite.convert(
            network, tmp_path / "m.tflite", quantize="int8", effort="low", calibration=images, target="xnnpack"
        )
        assert tflite.inspect(path).partitions == 1
