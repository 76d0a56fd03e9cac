"""Multiply-adds of .tflite files, against what Keras layers cost and arithmetic by hand."""

import pytest

import keras_mobilenets as km
from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.graph.macs import file_macs, multiply_adds


@pytest.mark.parametrize("name", ["float32", "dynamic", "int8"])
def test_a_file_has_the_multiply_adds_of_its_model(tflite_files, keras_model, name):
    assert file_macs(tflite_files[name]) == km.cost(keras_model).macs


@pytest.mark.parametrize(
    ("name", "inputs", "output", "macs"),
    [
        ("CONV_2D", [(1, 8, 8, 3), (16, 3, 3, 3), (16,)], (1, 4, 4, 16), 4 * 4 * 16 * 27),
        ("DEPTHWISE_CONV_2D", [(1, 8, 8, 6), (1, 5, 5, 6), (6,)], (1, 8, 8, 6), 8 * 8 * 6 * 25),
        ("FULLY_CONNECTED", [(1, 20), (7, 20), (7,)], (1, 7), 140),
        ("TRANSPOSE_CONV", [(4,), (5, 2, 2, 3), (1, 4, 4, 3)], (1, 8, 8, 5), 4 * 4 * 3 * 5 * 4),
        ("BATCH_MATMUL", [(2, 3, 4), (2, 4, 5)], (2, 3, 5), 2 * 3 * 4 * 5),
        ("ADD", [(1, 8, 8, 6), (1, 8, 8, 6)], (1, 8, 8, 6), 0),
    ],
)
def test_each_kind_of_operator_is_counted(name, inputs, output, macs):
    assert multiply_adds(name, inputs, output) == macs


def test_a_transposed_product_is_counted_along_the_other_side():
    assert multiply_adds("BATCH_MATMUL", [(2, 4, 3), (2, 4, 5)], (2, 3, 5), transposed=True) == 2 * 3 * 4 * 5


def test_what_is_no_tflite_is_refused(tmp_path):
    (tmp_path / "m.tflite").write_text("no model at all")
    with pytest.raises(UserError, match="TFL3"):
        file_macs(tmp_path / "m.tflite")
