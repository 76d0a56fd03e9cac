"""`zeroshot`: from a checkpoint of two towers to a classifier that knows its labels."""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest

from keras_mobilenets.cli import main

GOLDEN = Path(__file__).parents[1] / "golden"
LABELS = ["cat", "dog", "red panda"]


def _weights(name, shapes=()):
    """Small random weights of the shapes in a golden file, but for those that are given."""
    for tensor, shape in json.loads((GOLDEN / f"{name}.json").read_text())["state"]:
        shape = next((s for end, s in dict(shapes).items() if tensor.endswith(end)), shape)
        rng = np.random.default_rng(zlib.crc32(tensor.encode()))
        values = rng.uniform(0.5, 1.5, shape) if tensor.endswith("var") else 0.1 * rng.standard_normal(shape)
        yield tensor, values.astype(np.float32)


def test_mistakes_are_one_line(capsys):
    for arguments, says in (
        (["none.safetensors", "--out", "a.keras"], "no file none.safetensors"),
        (["none.safetensors", "--out", "a.tflite"], "give the name of a .keras file"),
    ):
        assert main(["zeroshot", *arguments, "--labels", "cat", "dog", "--torch", "mobileclip_s0"]) == 2
        assert says in capsys.readouterr().err


@pytest.mark.slow
def test_a_checkpoint_becomes_a_classifier_of_labels(tmp_path):
    pytest.importorskip("tokenizers")
    import keras
    from safetensors.numpy import save_file

    from keras_mobilenets.graphs.class_names import class_names

    merges = tmp_path / "merges.txt"
    merges.write_text("#version: 0.2\nc a\nca t</w>\n")
    image = {f"visual.trunk.{name}": array for name, array in _weights("fastvit_mci0")}
    shapes = {"token_embedding.weight": (2 * 256 + 4, 128), "text_projection": (128, 512)}
    text = dict(_weights("mobileclip2_s0_text", shapes))
    save_file(image | text | {"logit_scale": np.ones(1, np.float32)}, tmp_path / "mobileclip2_s0.safetensors")
    (tmp_path / "labels.txt").write_text("\n".join(LABELS) + "\n")
    command = ["zeroshot", tmp_path / "mobileclip2_s0.safetensors", "--labels", tmp_path / "labels.txt", "--size", "64"]
    assert not main([*map(str, command), "--tokenizer", str(merges), "--out", str(tmp_path / "pets.keras")])
    model = keras.models.load_model(tmp_path / "pets.keras")
    assert (model.input_shape, model.output_shape) == ((None, 64, 64, 3), (None, 3))
    assert class_names(model) == LABELS
