import pytest

from keras_mobilenets.tflite.graph import flatbuffer


@pytest.fixture
def changed(tflite_files, tmp_path):
    """Writes the float model with a change of its tables."""

    def write(change, name="float32"):
        model = flatbuffer.read(tflite_files[name].read_bytes())
        change(model, model.subgraphs[0])
        path = tmp_path / "changed.tflite"
        path.write_bytes(flatbuffer.write(model))
        return path

    return write
