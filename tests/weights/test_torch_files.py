"""PyTorch's own files (recorded with PyTorch 1.13), read without unpickling; damaged and hostile ones."""

import io
import pickle
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest

from keras_mobilenets.errors import UserError
from keras_mobilenets.weights.checkpoints import torch_files

FILES = Path(__file__).parent / "torch_files"
FORMATS = ["archive", "before_1_6"]


@pytest.mark.parametrize("name", FORMATS)
def test_tensors_of_every_kind_are_read(name):
    content = torch_files.read(FILES / f"{name}.pth")
    assert (content["epoch"], content["best"], content["optimizer"]["param_groups"][0]["lr"]) == (3, 0.75, 0.1)
    state, whole = content["state_dict"], np.arange(24.0).reshape(4, 6)
    expected = {
        "whole": whole,
        "transposed": whole.T,
        "part": whole[1:3, 1:4],
        "every_second": whole[::2],
        "parameter": np.arange(3.0),
        "half": np.arange(4) / 2,
        "bfloat16": np.arange(4) / 2,
        "count": np.array(7),
        "flags": np.array([True, False]),
        "none": np.zeros((0, 3)),
    }
    assert list(state) == list(expected)
    for key, value in expected.items():
        np.testing.assert_array_equal(state[key].astype(value.dtype), value)
    assert [state[key].dtype.name for key in ("whole", "every_second", "half", "bfloat16", "count")] == [
        "float32",
        "float64",
        "float16",
        "bfloat16",
        "int64",
    ]


def archive_of(pickled, **members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in {"data.pkl": pickled, "version": b"3\n", **members}.items():
            archive.writestr(f"archive/{name}", content)
    return stream.getvalue()


class Hostile:
    """Runs code where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_code_is_named_and_not_run(tmp_path):
    file, trace = tmp_path / "model.pth", tmp_path / "trace"
    for pickled in (pickle.dumps({"a": Hostile(trace)}, protocol) for protocol in range(6)):
        for content in (archive_of(pickled), pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickled):
            file.write_bytes(content)
            with pytest.raises(UserError, match=r"pathlib\.\S*Path|getattr") as caught:
                torch_files.read(file)
            assert "\n" not in str(caught.value)
    assert not trace.exists()


def test_a_module_is_refused_by_its_class():
    with pytest.raises(UserError, match=r"calls torch\.nn\.modules\.activation\.ReLU.*state_dict"):
        torch_files.read(FILES / "module.pth")


def tensor(shape, strides, offset=0, size=6):
    """The pickle of one tensor, instruction by instruction."""

    def whole(numbers):
        return b"(" + b"".join(b"I%d\n" % number for number in numbers) + b"t"

    storage = b"(Vstorage\nctorch\nFloatStorage\nV0\nVcpu\nI%d\ntQ" % size
    arguments = storage + b"I%d\n" % offset + whole(shape) + whole(strides) + b"I00\nN"
    return b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"tR."


def test_a_tensor_lies_within_its_storage(tmp_path):
    file, values = tmp_path / "model.pth", np.arange(6, dtype="<f4").tobytes()
    file.write_bytes(archive_of(tensor((2, 3), (3, 1)), **{"data/0": values}))
    np.testing.assert_array_equal(torch_files.read(file), [[0, 1, 2], [3, 4, 5]])
    beyond = [
        ((2, 3), (3, 1), 1),
        ((3, 3), (3, 1)),
        ((2, 3), (-3, 1)),
        ((1000, 1000), (0, 0)),
        ((2,), (3, 1)),
        ((7,), (1,)),
    ]
    for arguments in [*beyond, ((2, 3), (3, 1), 0, 7), ((2**62, 4), (1, 1))]:
        file.write_bytes(archive_of(tensor(*arguments), **{"data/0": values}))
        with pytest.raises(UserError, match="not a whole PyTorch file"):
            torch_files.read(file)


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files_are_one_line_or_read(name, tmp_path):
    content, rng, file, refused = (FILES / f"{name}.pth").read_bytes(), random.Random(0), tmp_path / "a.pth", 0
    for _ in range(500):
        damaged = bytearray(content)
        for _ in range(rng.choice((1, 2, 5))):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        if rng.random() < 0.2:
            del damaged[rng.randrange(len(damaged)) :]
        file.write_bytes(damaged)
        try:
            torch_files.read(file)
        except UserError as error:
            refused += 1
            assert str(error).isprintable()
    assert refused > 100
