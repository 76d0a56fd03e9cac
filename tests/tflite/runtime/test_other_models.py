"""Models of other kinds than classifiers, by the stock converter: every verb says what is true of them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_mobilenets as km
from keras_mobilenets import cli, tflite
from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.graph.macs import file_macs
from keras_mobilenets.tflite.runtime.interpreter import open_model

FAST = {"warmup_runs": 1, "warmup_seconds": 0, "min_runs": 3, "min_seconds": 0}
Spec = tf.TensorSpec


class Delay(tf.Module):
    """Answers what it was given the time before, as streaming models keep their last frames."""

    def __init__(self):
        super().__init__()
        self.last = tf.Variable(tf.zeros([1, 4]))

    @tf.function(input_signature=[Spec([1, 4])])
    def __call__(self, x):
        last = self.last.read_value()
        self.last.assign(x)
        return last


@tf.function(input_signature=[Spec([1, 8]), Spec([1, 4])])
def two_inputs_and_outputs(a, b):
    return tf.concat([a, b], 1) @ tf.ones([12, 3]), tf.nn.softmax(a)


@tf.function(input_signature=[Spec([1, 16], tf.int32), Spec([1, 16], tf.int64), Spec([1, 16], tf.bool)])
def tokens(words, positions, mask):
    embedded = tf.gather(tf.ones([100, 8]), words) + tf.gather(tf.ones([20, 8]), positions)
    return tf.where(mask[..., None], embedded, tf.zeros_like(embedded))


@tf.function(input_signature=[Spec([1, None], tf.int32)])
def open_sequence(words):
    embedded = tf.gather(tf.ones([100, 32]), words)
    return tf.nn.softmax(tf.matmul(embedded, embedded, transpose_b=True))


@tf.function(input_signature=[Spec([None, None, None, 3])])
def larger_than_one_pixel(x):
    return tf.reduce_mean(tf.nn.conv2d(x, tf.ones([5, 5, 3, 4]), 2, "VALID"), [1, 2])


@tf.function(input_signature=[Spec([1, 4])])
def branch_without_input(x):
    return tf.cond(tf.reduce_sum(x) > 0, lambda: tf.matmul(x, tf.ones([4, 4])), lambda: tf.zeros([1, 4]))


@tf.function(input_signature=[Spec([1, 5], tf.int64)])
def size_known_at_run_time(x):
    return tf.unique(x[0])[0]


@tf.function(input_signature=[Spec([])])
def scalar(x):
    return 2 * x


@tf.function(input_signature=[Spec([1, 3], tf.string)])
def words(x):
    return tf.reshape(x, [3])


@tf.function(input_signature=[])
def no_input():
    return tf.random.uniform([2, 3])


@tf.function(input_signature=[Spec([1, 8, 8, 3])])
def segmentation(x):
    return tf.nn.sigmoid(tf.reduce_mean(x, 3, keepdims=True))


MODELS = (
    two_inputs_and_outputs, tokens, open_sequence, larger_than_one_pixel, branch_without_input, size_known_at_run_time,
    scalar, words, no_input, segmentation,
)  # fmt: skip
OPEN = {"open_sequence": 7, "larger_than_one_pixel": (9, 13)}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("other_models")

    def write(name, concrete, owner):
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], owner)
        converter.experimental_enable_resource_variables = True
        (folder / f"{name}.tflite").write_bytes(converter.convert())
        return folder / f"{name}.tflite"

    delay = Delay()
    files = {
        f.python_function.__name__: write(f.python_function.__name__, f.get_concrete_function(), f) for f in MODELS
    }
    return files | {"delay": write("delay", delay.__call__.get_concrete_function(), delay)}


def plain_interpreter(path):
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(str(path), num_threads=1)


@pytest.mark.parametrize("name", ["delay", *(f.python_function.__name__ for f in MODELS)])
def test_every_verb_takes_every_model(models, name):
    path, size = models[name], OPEN.get(name)
    found = tflite.inspect(path, size)
    plain = plain_interpreter(path)
    assert [tensor.name for tensor in found.inputs] == [source["name"] for source in plain.get_input_details()]
    assert [list(tensor.shape) for tensor in found.outputs] == [
        list(target["shape_signature"]) for target in plain.get_output_details()
    ]
    assert all(operator.graph < plain.num_subgraphs() for operator in found.operators)
    for check in (tflite.check_nnapi(path), tflite.check_gpu(path)):
        assert [operator.name for operator in check.operators] == [operator.name for operator in found.operators]
    (row,) = tflite.benchmark(path, input_shape=size, **FAST)
    assert row.median_ms > 0 and row.num_runs >= 3 and row.quantization == "none"


def test_a_delay_is_judged_graph_by_graph(models):
    check, found = tflite.check_nnapi(models["delay"]), tflite.inspect(models["delay"])
    assert {operator.graph for operator in check.operators} == {0, 1}
    assert [op.name for op in found.operators if op.graph] == ["VAR_HANDLE", "ASSIGN_VARIABLE"]
    assert "of graph 1: the delegate does not know this operator" in str(check)
    assert "in 2 graphs" in str(found)
    model, first, second = open_model(models["delay"]), np.ones((1, 4), np.float32), np.full((1, 4), 2, np.float32)
    assert [model.run(values).tolist() for values in (first, second)] == [[[0] * 4], [[1] * 4]]


@pytest.mark.parametrize("name", OPEN)
def test_open_sizes_are_asked_for(models, name):
    with pytest.raises(
        UserError, match=r"leaves sizes open, inputs .*\?.*give them with --size, in Python input_shape"
    ):
        tflite.benchmark(models[name])
    with pytest.raises(UserError, match="give it whole or what is open"):
        tflite.benchmark(models[name], input_shape=(3, 3, 3, 3, 3))
    assert "?" in str(tflite.inspect(models[name]))


def test_what_does_not_run_with_one_pixel_is_listed_and_says_what_it_needs(models):
    found = tflite.inspect(models["larger_than_one_pixel"])
    assert "does not run with sizes of 1" in found.delegation and found.nodes is None and found.operators
    with pytest.raises(UserError, match=r"does not run with input_shape .3, 3."):
        tflite.benchmark(models["larger_than_one_pixel"], input_shape=(3, 3))


@pytest.mark.parametrize(
    ("name", "size", "macs"),
    [("open_sequence", 7, 7 * 7 * 32), ("larger_than_one_pixel", (1, 9, 13, 3), 3 * 5 * 4 * 75), ("scalar", None, 0),
     ("two_inputs_and_outputs", None, 36), ("branch_without_input", None, None)],
)  # fmt: skip
def test_multiply_adds_are_those_of_the_size_that_was_run(models, name, size, macs):
    (row,) = tflite.benchmark(models[name], input_shape=size, **FAST)
    assert row.macs == macs
    assert macs is not None or row.gmacs_per_s is None


def test_sizes_for_a_file_that_leaves_none_open_are_refused(models):
    with pytest.raises(UserError, match=r"leaves no size open, it takes a float32 1×8, b float32 1×4"):
        tflite.benchmark(models["two_inputs_and_outputs"], input_shape=32)


@pytest.fixture(scope="module")
def open_classifier(tmp_path_factory):
    keras.utils.set_random_seed(0)
    model = km.MobileNetV2((None, None, 3), alpha=0.35, classes=3)
    path = tmp_path_factory.mktemp("open") / "any_size.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    return model, path


def test_a_classifier_of_any_size_takes_the_size_of_the_images(open_classifier):
    model, path = open_classifier
    rng = np.random.default_rng(0)
    sizes = [rng.uniform(-1, 1, (2, *size, 3)).astype(np.float32) for size in ((64, 64), (32, 96))]
    found = tflite.evaluate(path, ((images, np.zeros(2, np.int64)) for images in sizes), pixels="-1..1")
    expected = np.concatenate([model.predict(images, verbose=0) for images in sizes])
    np.testing.assert_allclose(found.predictions, expected, atol=1e-5)


def test_multiply_adds_of_any_size_equal_those_of_the_keras_model(open_classifier):
    _, path = open_classifier
    (row,) = tflite.benchmark(path, input_shape=(64, 96), **FAST)
    assert row.macs == km.cost(km.MobileNetV2((64, 96, 3), alpha=0.35, classes=3)).macs
    assert file_macs(path) != row.macs


def test_evaluate_says_what_a_file_takes_that_is_given_no_image(models):
    with pytest.raises(UserError, match=r"takes finite floats N×4, not uint8 N×8×8×3: give such values"):
        tflite.evaluate(models["delay"], np.zeros((1, 8, 8, 3), np.uint8))


@pytest.mark.parametrize("name", ["two_inputs_and_outputs", "segmentation", "scalar", "no_input"])
def test_evaluate_says_what_a_file_takes_that_is_no_classifier(models, name):
    with pytest.raises(UserError, match=r"is no image classifier, inputs .*; outputs .*; give one with") as refused:
        tflite.evaluate(models[name], np.zeros((1, 8, 8, 3), np.uint8))
    assert flatbuffer.ends(flatbuffer.read(models[name].read_bytes())) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_integer_inputs_get_values_that_exist(models):
    model = open_model(models["tokens"])
    model.feed_noise()
    fed = {source["name"]: model.interpreter.get_tensor(source["index"]) for source in model.inputs}
    assert [values.dtype for values in fed.values()] == [np.int32, np.int64, np.bool_]
    assert not any(values.any() for values in fed.values())


def test_the_command_line_asks_for_the_size(models, open_classifier, capsys):
    assert cli.main(["inspect", str(models["larger_than_one_pixel"]), "--size", "9", "13"]) == 0
    assert "2 of 2 operators delegated" in capsys.readouterr().out
    for verb in (["benchmark"], ["evaluate", "--data", "shapes"]):
        assert cli.main([*verb, str(open_classifier[1])]) == 2
        said = capsys.readouterr().err
        assert "--size" in said and "Traceback" not in said
