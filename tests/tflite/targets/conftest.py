import contextlib

import pytest

from keras_mobilenets.tflite.conversion.forms.int8_operators import Int8Graph


@pytest.fixture(scope="session", params=["MobileNetV3Small", "MobileNetV3Large"])
def trained(request):
    """A MobileNetV3 that is right of nine images in ten of `shapes`, and the data; minutes, for slow tests."""
    import keras

    import keras_mobilenets as km
    from keras_mobilenets import training

    keras.utils.set_random_seed(0)
    data = training.load_data("shapes", image_size=64, batch_size=32, limit=12000)
    model = km.create_model(request.param, input_shape=(64, 64, 3), alpha=0.5, classes=10)
    training.fit(model, data, training.Recipe(epochs=6, learning_rate=4e-3, augmentation="none"))
    return model, data


@pytest.fixture(scope="session")
def rank_bug():
    """The constants of h-swish have four dimensions behind global pooling too, where the activations have two."""

    @contextlib.contextmanager
    def put_back():
        add_number = Int8Graph.add_number
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Int8Graph, "add_number", lambda graph, value, rank: add_number(graph, value, 4))
            yield

    return put_back
