"""Choosing a model: limits hold, the data say what the models are, the reasons add up."""

import keras
import pytest

import keras_mobilenets as km
from keras_mobilenets.costs import selection
from keras_mobilenets.tflite.targets.operator_forms import FORMS


def test_limits_and_orders_hold():
    rows = selection.select(max_parameters=4e6, max_macs=300e6, sort="top1")
    assert rows and all(row.parameters <= 4e6 and row.macs_millions <= 300 for row in rows)
    seen = [row.imagenet_top1 for row in rows if row.is_of_images]
    assert seen == sorted(seen, reverse=True)
    assert {row.builder for row in selection.select(family="mobilenetv1")} == {"MobileNetV1"}
    macs = [row.macs_millions for row in selection.select(sort="macs")]
    assert macs == sorted(macs)


def test_the_best_fits_the_size_and_its_score_is_the_accuracy_less_its_reasons():
    ranked = selection.choose(selection.select(), target="nnapi", task="balanced", max_size_mb=4)
    assert all(choice.size_mb <= 4 for choice in ranked)
    for choice in ranked:
        points = sum(float(reason.split()[0]) for reason in choice.reasons)
        assert choice.score == pytest.approx(choice.variant.imagenet_top1 + points, abs=0.05 * len(choice.reasons))
    assert ranked[0].score == max(choice.score for choice in ranked)


def test_tasks_trade_accuracy_for_speed():
    chosen = {
        task: selection.choose(selection.select(), target="nnapi", task=task)[0].variant for task in selection.tasks()
    }
    assert chosen["accuracy"].macs_millions > chosen["balanced"].macs_millions > chosen["speed"].macs_millions


def test_a_target_moves_the_choice():
    """A GPU minds squeeze-and-excite alone; NNAPI minds h-swish and squeeze-and-excite."""

    def place(target):
        ranked = selection.choose(selection.select(family="MobileNet"), target=target, task="balanced")
        labels = [choice.variant.label for choice in ranked]
        return labels.index("MobileNetV3Large(alpha=1.0) 224")

    assert place("gpu") < place("nnapi")


@pytest.mark.parametrize("builder", ["MobileNetV1", "MobileNetV2", "MobileNetV3Small", "EfficientNetB0", "ResNet18"])
def test_traits_are_those_of_the_built_model(builder):
    row = next(row for row in selection.select() if row.builder == builder)
    model = km.create_model(builder, input_shape=(64, 64, 3), **row.arguments)
    activations = {layer.activation.__name__ for layer in model.layers if isinstance(layer, keras.layers.Activation)}
    built = {name for name, activation in (("hard_swish", "hard_silu"), ("swish", "silu")) if activation in activations}
    if any(isinstance(layer, keras.layers.Multiply) for layer in model.layers):
        built.add("squeeze_excite")
    assert set(selection.traits(row)) == built


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"target": "npu"}, "unknown target"),
        ({"target": "gpu", "task": "beauty"}, "unknown task"),
        ({"target": "gpu", "max_size_mb": 0.1}, "the smallest is"),
    ],
)
def test_what_cannot_be_chosen_is_refused_in_one_line(arguments, says):
    with pytest.raises(km.UserError, match=says):
        selection.choose(selection.select(), **arguments)


def test_every_target_of_convert_can_be_chosen_for():
    assert set(selection.targets()) == set(FORMS) and all(selection.targets().values())
