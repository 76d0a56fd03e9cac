"""Tensors of PyTorch, whose NumPy arrays need a PyTorch built for the same NumPy; a stand-in has all but those."""

import ml_dtypes
import numpy as np
import pytest

from keras_mobilenets.tensors import detached


class Tensor:
    """The methods of `torch.Tensor` that are used, of a PyTorch that answers "Numpy is not available"."""

    def __init__(self, values, requires_grad=True):
        self.values, self.requires_grad = values, requires_grad

    def detach(self):
        return Tensor(self.values, requires_grad=False)

    def cpu(self):
        return self

    def float(self):
        return Tensor(self.values.astype(np.float32), self.requires_grad)

    def is_floating_point(self):
        return self.values.dtype.kind in "fV"

    def __array__(self, *_, **__):
        raise RuntimeError("Numpy is not available")

    def __dlpack__(self, **options):
        assert not self.requires_grad
        return self.values.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.values.__dlpack_device__()


@pytest.mark.parametrize(
    ("given", "expected"),
    [("float32", "float32"), ("float64", "float32"), (ml_dtypes.bfloat16, "float32"), ("uint8", "uint8")],
)
def test_a_tensor_of_pytorch_becomes_an_array(given, expected):
    values = np.array([[1, 2, 3], [4, 5, 6]], given)
    array = detached(Tensor(values))
    assert array.dtype == expected
    assert np.array_equal(array, values.astype(expected))


def test_what_is_no_tensor_stays():
    values = [1, 2]
    assert detached(values) is values
