"""A model without the models inside it computes what the model computes."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_mobilenets as km
from keras_mobilenets.errors import UserError
from keras_mobilenets.graphs.flat_model import calls, flat_model

SHAPE = (32, 32, 3)


def backbone(name=None):
    return km.MobileNetV2(SHAPE, alpha=0.35, include_top=False, pooling="avg", name=name)


def base_and_head():
    image = keras.Input(SHAPE)
    x = layers.Rescaling(2.0)(image)
    return keras.Model(image, layers.Dense(3)(backbone()(x, training=False)))


def two_of_one_name():
    image = keras.Input(SHAPE)
    return keras.Model(
        image, layers.Dense(3)(layers.Concatenate()([backbone("left")(image), backbone("right")(image)]))
    )


def one_twice():
    one, image = backbone(), keras.Input(SHAPE)
    return keras.Model(image, layers.Dense(3)(layers.Concatenate()([one(image), one(layers.Rescaling(-1.0)(image))])))


def nested_deeply():
    inner = keras.Sequential([keras.Input((16, 16, 8)), layers.DepthwiseConv2D(3), layers.ReLU()])
    middle = keras.Sequential([keras.Input(SHAPE), layers.Conv2D(8, 3, 2, "same"), inner, layers.GlobalMaxPooling2D()])
    image = keras.Input(SHAPE)
    return keras.Model(image, {"a": layers.Dense(2)(middle(image)), "b": middle(image) + 3.0})


def in_sequential():
    return keras.Sequential([keras.Input(SHAPE), backbone(), layers.Dropout(0.5), layers.Dense(3)])


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.body, self.head = backbone(), layers.Dense(3)

    def call(self, x, training=False):
        return self.head(self.body(x, training=training))


def subclassed():
    model = Subclassed()
    model(np.zeros((1, *SHAPE), np.float32))
    return model


def subclassed_inside():
    inner, image = subclassed(), keras.Input(SHAPE)
    return keras.Model(image, layers.ReLU()(inner(image)))


class Graph(keras.Model):
    """A functional model of one's own class, whose `call` does more than its graph."""

    def __init__(self):
        image = keras.Input(SHAPE)
        super().__init__(image, layers.Dense(3)(backbone()(image)))

    def call(self, x, training=None, mask=None):
        return 2.0 * super().call(x, training=training)


@pytest.mark.parametrize(
    "make",
    [base_and_head, two_of_one_name, one_twice, nested_deeply, in_sequential, subclassed, subclassed_inside, Graph],
)
def test_a_flat_model_gives_the_outputs_of_the_nested_one(make):
    keras.utils.set_random_seed(0)
    model = make()
    flat = flat_model(model)
    images = np.random.default_rng(0).uniform(-1, 1, (4, *SHAPE)).astype(np.float32)
    keras.tree.map_structure(np.testing.assert_array_equal, model(images), flat(images))
    assert not any(isinstance(layer, keras.Model) for layer in flat.layers)
    assert sum(np.prod(w.shape) for w in flat.weights) == sum(np.prod(w.shape) for w in model.weights)
    assert flat.inputs[0].shape[1:] == SHAPE


def test_layers_share_their_weights():
    model = base_and_head()
    assert {id(w) for w in flat_model(model).weights} == {id(w) for w in model.weights}


def test_layers_of_one_name_are_named_after_their_models():
    names = [layer.name for layer in flat_model(two_of_one_name()).layers]
    assert {"left_stem", "right_stem"} <= set(names) and "stem" not in names


def test_calls_follow_the_graph_of_this_model_whatever_else_its_layers_are_in():
    conv = layers.Conv2D(4, 3, padding="same")
    image = keras.Input((8, 8, 4))
    keras.Model(image, conv(image))  # the layer's first call is another model's
    second = keras.Input((6, 6, 4))
    model = keras.Model(second, layers.ReLU()(conv(conv(second))))
    found = calls(model)
    assert [call.layer.name for call in found] == [conv.name, conv.name, found[-1].layer.name]
    assert [call.outputs[0].shape for call in found] == [(None, 6, 6, 4)] * 3
    assert found[1].inputs[0] is found[0].outputs[0]


class WithNumpy(keras.Model):
    def call(self, x):
        return np.asarray(x)


def with_numpy():
    model = WithNumpy()
    model.build((None, *SHAPE))
    return model


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (Subclassed, "not built"),
        (lambda: keras.Sequential([layers.Dense(3)]), "not built"),
        (with_numpy, "subclassed"),
        (lambda: "m.keras", "builtins.str"),
    ],
)
def test_what_has_no_graph_is_refused_in_one_line(make, says):
    with pytest.raises(UserError, match=says):
        flat_model(make())
