"""Next-item recommenders: their parameters counted by hand, causality, receptive field, int8 by builtin operators."""

import numpy as np
import pytest
from networks import randomize

import keras_mobilenets as km
from keras_mobilenets import tflite
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.runtime.interpreter import open_model

ITEMS = 40


def _answers(model, histories):
    return np.asarray(model(np.asarray(histories, np.int32), training=False))


def test_parameters_are_those_of_the_layers():
    separable, dense = km.SeparableSequenceNet(classes=ITEMS), km.DenseSequenceNet(classes=ITEMS)
    ends = (ITEMS + 1) * 64 + 64 * ITEMS + ITEMS
    assert separable.count_params() == ends + 4 * (3 * 64 + 64 * 64 + 2 * 4 * 64)
    assert dense.count_params() == ends + 32 * 64 * 128 + 128 * 64 + 4 * (128 + 64)
    assert separable.input_shape == dense.input_shape == (None, 32)
    assert km.cost(separable).macs == 32 * 4 * (3 * 64 + 64 * 64) + 64 * ITEMS


def test_thirty_one_items_are_seen_and_no_others():
    model = randomize(km.SeparableSequenceNet((40,), classes=ITEMS), kernels=True)
    history = np.random.default_rng(0).integers(1, ITEMS + 1, (1, 40))
    changed = np.repeat(history, 40, axis=0)
    np.fill_diagonal(changed, changed.diagonal() % ITEMS + 1)
    moves = np.abs(_answers(model, changed) - _answers(model, history)).max(axis=1)
    assert (moves[:9] == 0).all() and (moves[9:] > 0).all()


def test_scores_are_logits_and_every_builder_argument_is_shared():
    model = km.SeparableSequenceNet((8,), 0.5, classes=5, depth=3, kernel_size=2, name="next")
    assert model.name == "next" and model.output_shape == (None, 5)
    assert model.get_layer("predictions").activation.__name__ == "linear"
    assert model.get_layer("block_3_2_depthwise").dilation_rate == (2, 1)
    body = km.SeparableSequenceNet((8,), classes=5, include_top=False)
    assert body.output_shape == (None, 64)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (32, 32, 3)}, r"give \(items,\), the length of a history"),
        ({"stem_strides": 2}, "leave stem_strides at 1"),
        ({"depth": 0}, "depth=0: give a whole number"),
    ],
)
def test_a_wrong_argument_is_one_line(arguments, message):
    with pytest.raises(km.UserError, match=message):
        km.SeparableSequenceNet(**arguments)


def test_int8_is_of_builtin_operators_and_ranks_as_the_model_does(tmp_path):
    model = randomize(km.SeparableSequenceNet((16,), 0.25, classes=ITEMS), kernels=True)
    histories = np.random.default_rng(0).integers(0, ITEMS + 1, (60, 16)).astype(np.int32)
    expected = _answers(model, histories)
    first = expected.argmax(axis=1)
    for quantize, least in (("none", 1.0), ("int8", 0.8)):
        path = tmp_path / f"{quantize}.tflite"
        given = {"calibration": histories, "effort": "low"} if quantize == "int8" else {}
        tflite.convert(model, path, quantize=quantize, labels=[f"item {i}" for i in range(ITEMS)], **given)
        assert open_model(path).quantization() == quantize
        found = tflite.evaluate(path, (histories, first))
        assert found.top1 is None and set(found.figures) == {"ndcg10", "hr10"} and f"{found}".startswith("NDCG@10 ")
        assert least <= found.figures["ndcg10"] <= 1 and found.figures["hr10"] >= least
        graph = flatbuffer.read(path.read_bytes())
        names = {flatbuffer.operator_name(graph, operator) for operator in graph.subgraphs[0].operators}
        assert names <= {"LESS", "ADD", "SELECT", "SELECT_V2", "GATHER", "RESHAPE", "PAD", "DEPTHWISE_CONV_2D"} | {
            "CONV_2D", "STRIDED_SLICE", "FULLY_CONNECTED",
        }  # fmt: skip
        types = {flatbuffer.type_name(t.type) for t in graph.subgraphs[0].tensors if t.shape is not None}
        assert ("float32" in types) == (quantize == "none")
    with pytest.raises(km.UserError, match="takes integers N×16"):
        tflite.evaluate(path, histories.astype(np.float32))
