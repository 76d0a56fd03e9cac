"""training.prune, sensitivity and cluster: zeros and shared weights where they belong, kept down to the int8 file."""

import json
import warnings

import keras
import numpy as np
import pytest
import tensorflow_model_optimization as tfmot
from keras import layers

from keras_mobilenets import UserError, tflite, training
from keras_mobilenets.training.compression import weight_pruning

SIZE = 32
QUICK = training.Recipe(epochs=2, warmup_epochs=0.0, learning_rate=1e-3, augmentation="none")
SILENT = {"recipe": QUICK, "verbose": 0}
HEAVY = ["expand", "narrow", "project", "predictions"]


@pytest.fixture(scope="module")
def model(data):
    """Trained, with a layer of each kind; `project` has 6 input channels, which are no multiple of 4."""
    keras.utils.set_random_seed(1)
    image = x = keras.Input((SIZE, SIZE, 3))
    x = layers.Conv2D(16, 3, strides=2, use_bias=False, name="stem")(x)
    x = layers.BatchNormalization(momentum=0.8, name="stem_bn")(x)
    x = layers.ReLU(6.0, name="stem_relu")(x)
    x = layers.Conv2D(48, 1, name="expand")(x)
    x = layers.DepthwiseConv2D(3, name="depthwise")(x)
    x = layers.ReLU(6.0, name="relu")(x)
    x = layers.Conv2D(6, 1, name="narrow")(x)
    x = layers.Conv2D(32, 1, name="project")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    made = keras.Model(image, layers.Dense(3, activation="softmax", name="predictions")(x), name="small")
    training.fit(made, data, training.Recipe(epochs=6, learning_rate=0.01), verbose=0)
    return made


@pytest.fixture(scope="module")
def pruned(model, data):
    return training.prune(model, data, 0.75, **SILENT)


def kernel(model, name):
    return keras.ops.convert_to_numpy(model.get_layer(name).kernel)


def zeros(model):
    """The number of zeros and of weights in each kernel."""
    kernels = {layer.name: kernel(model, layer.name) for layer in model.layers if hasattr(layer, "kernel")}
    return {name: (int((values == 0).sum()), values.size) for name, values in kernels.items()}


def accuracy(model, data):
    outputs = model.predict(data.test, verbose=0)
    return float((outputs.argmax(axis=-1) == data.images("test")[1]).mean())


def int8_file(model, data, path):
    return tflite.convert(model, path, quantize="int8", effort="low", calibration=data.images("train", 32)[0])


def zeros_by_operator(path):
    return [(operator.name, operator.zeros.share) for operator in tflite.inspect(path).operators if operator.zeros]


def test_pointwise_and_dense_kernels_have_the_zeros_and_the_others_have_none(model, pruned):
    found = zeros(pruned)
    assert found["stem"][0] == found["depthwise"][0] == 0
    for name in HEAVY:
        count, size = found[name]
        assert abs(count - 0.75 * size) <= 0.5
    assert all(count == 0 for count, _ in zeros(model).values())  # the model given is left as it is


def test_pruned_model_is_an_ordinary_keras_model_that_still_works(model, pruned, data, tmp_path):
    assert isinstance(pruned, keras.Model)
    assert [layer.name for layer in pruned.layers[1:]] == [layer.name for layer in model.layers[1:]]
    assert accuracy(pruned, data) >= accuracy(model, data) - 0.1
    pruned.save(tmp_path / "pruned.keras")
    again = keras.models.load_model(tmp_path / "pruned.keras")
    np.testing.assert_array_equal(kernel(again, "expand"), kernel(pruned, "expand"))


def test_zeros_are_in_the_int8_file(pruned, data, tmp_path):
    stem, expand, depthwise, *rest = zeros_by_operator(int8_file(pruned, data, tmp_path / "int8.tflite"))
    assert stem[1] < 0.2 and depthwise[1] < 0.2
    assert all(share >= 0.74 for _, share in [expand, *rest])
    assert [name for name, _ in rest] == ["CONV_2D", "CONV_2D", "FULLY_CONNECTED"]


def test_constant_schedule_prunes_the_named_layers_to_their_own_share(model, data):
    sparse = training.prune(model, data, {"expand": 0.5, "predictions": 0.25}, schedule="constant", begin=0.2, **SILENT)
    assert {name: count for name, (count, _) in zeros(sparse).items() if count} == {"expand": 384, "predictions": 24}


@pytest.mark.slow
def test_two_of_four_neighbouring_input_channels_are_zero(model, data):
    with pytest.warns(UserWarning, match=r"left dense: project$"):
        sparse = training.prune(model, data, pattern="2:4", **SILENT)
    for name in ("expand", "narrow", "predictions"):
        values = kernel(sparse, name)
        outputs = np.moveaxis(values, -2, -1).reshape(-1, 4)  # every four inputs of an output
        assert ((outputs == 0).sum(axis=1) == 2).all(), name
    assert zeros(sparse)["project"][0] == 0


@pytest.mark.parametrize("total", [5, 37, 750, 20_000])
@pytest.mark.parametrize(("begin", "end", "frequency"), [(0.0, 0.6, None), (0.1, 1.0, None), (0.3, 0.9, 7)])
def test_last_choice_of_weights_has_the_whole_sparsity(total, begin, end, frequency):
    """By tfmot's own schedule: it prunes at the last step, and then to the sparsity asked for."""
    if frequency and total < 30:
        frequency = 1
    plan = weight_pruning._plan("polynomial", begin, end, frequency, total)
    schedule = tfmot.sparsity.keras.PolynomialDecay(0.0, 0.75, **plan)
    prunes, share = schedule(plan["end_step"])
    assert bool(prunes) and float(share) == pytest.approx(0.75)
    assert begin * total - 1 <= plan["begin_step"] < plan["end_step"] <= max(1, end * total + 1)


@pytest.mark.slow
def test_a_pruning_that_was_stopped_goes_on_as_if_it_had_not_been(model, data, tmp_path, monkeypatch):
    recipe = training.Recipe(epochs=3, warmup_epochs=0.0, learning_rate=1e-3, augmentation="none")
    arguments = {"recipe": recipe, "end": 0.9, "verbose": 0}
    undisturbed = training.prune(model, data, run_dir=tmp_path / "a", **arguments)

    def stop(callback, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(tfmot.sparsity.keras.UpdatePruningStep, "on_epoch_begin", stop)
        training.prune(model, data, run_dir=tmp_path / "b", **arguments)
    resumed = training.prune(model, data, run_dir=tmp_path / "b", **arguments)
    for name in HEAVY:
        np.testing.assert_allclose(kernel(resumed, name), kernel(undisturbed, name), atol=1e-4)
    assert zeros(resumed) == zeros(undisturbed)
    with pytest.raises(UserError, match="holds a training with pruning sparsity"):
        training.prune(model, data, 0.5, run_dir=tmp_path / "b", **arguments)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "run.json").write_text(json.dumps({"model": {}}))
    with pytest.raises(UserError, match="holds a training without pruning"):
        training.prune(model, data, run_dir=tmp_path / "c", **arguments)


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("sparsity 1.0 must be from 0 to below 1", {"sparsity": 1.0}),
        ("sparsity -0.1 must be", {"sparsity": -0.1}),
        ("sparsity 1.5 of expand must be", {"sparsity": {"expand": 1.5}}),
        ("sparsity nan must be", {"sparsity": float("nan")}),
        ("unknown layer with a kernel 'expnd': did you mean expand", {"sparsity": {"expnd": 0.5}}),
        ("unknown layer with a kernel 'relu'", {"layers": ["relu"]}),
        ("schedule must be 'polynomial' or 'constant', not 'linear'", {"schedule": "linear"}),
        ("pattern must be None or '2:4', not '1:4'", {"pattern": "1:4"}),
        ("by 2:4", {"pattern": "2:4", "layers": ["project"]}),
        ("begin 0.5 and end 0.5", {"begin": 0.5, "end": 0.5}),
        ("frequency must be", {"frequency": 0}),
        ("fewer than the 1000 between mask updates", {"frequency": 1000}),
        ("has no layer to prune", {"layers": []}),
        ("leave layers out", {"sparsity": {"expand": 0.5}, "layers": ["expand"]}),
    ],
)
def test_what_cannot_be_pruned_is_one_line(model, data, message, arguments):
    with warnings.catch_warnings(), pytest.raises(UserError, match=message) as refused:
        warnings.simplefilter("ignore")
        training.prune(model, data, **arguments)
    assert "\n" not in str(refused.value)


def test_model_and_data_are_asked_for(model, data):
    for verb in (training.prune, training.sensitivity, training.cluster):
        with pytest.raises(UserError, match=r"give it what training\.load_data returns, not NoneType"):
            verb(model, None)
        with pytest.raises(UserError, match=r"takes a Keras 3 model, not builtins\.str"):
            verb("model.keras", data)


@pytest.fixture(scope="module")
def scan(model, data):
    before = [keras.ops.convert_to_numpy(weight) for weight in model.weights]
    found = training.sensitivity(model, data, levels=(0.5, 0.9))
    for old, new in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(old, new)
    return found


def test_sensitivity_is_the_accuracy_lost_when_one_layer_is_pruned(model, data, scan):
    """Against tfmot's own choice of weights."""
    values = kernel(model, "expand")
    smallest = np.argsort(np.abs(values).ravel())[: round(0.9 * values.size)]
    one = keras.models.clone_model(model)
    one.set_weights(model.get_weights())
    cut = values.copy().ravel()
    cut[smallest] = 0
    one.get_layer("expand").kernel.assign(cut.reshape(values.shape))
    images, labels = data.images("validation")
    lost = [np.mean(m.predict(images / 127.5 - 1, verbose=0).argmax(axis=-1) == labels) for m in (model, one)]
    assert scan.accuracy == pytest.approx(lost[0])
    assert scan.drops["expand"][0.9] == pytest.approx(lost[0] - lost[1], abs=1e-6)
    assert list(scan.drops) == HEAVY and scan.weights["expand"] == 16 * 48
    assert str(scan).splitlines()[1].split()[0] == "expand"


def test_sparsities_meet_the_average_and_spare_what_is_sensitive():
    drops = {"early": {0.5: 0.2, 0.9: 0.6}, "late": {0.5: 0.0, 0.9: 0.01}, "noisy": {0.5: -0.004, 0.9: 0.004}}
    found = training.Sensitivity(0.9, {"early": 1000, "late": 3000, "noisy": 3000}, drops).sparsities(0.7)
    weights = {"early": 1000, "late": 3000, "noisy": 3000}
    assert sum(weights[name] * share for name, share in found.items()) / 7000 == pytest.approx(0.7, abs=1e-3)
    assert found["early"] < 0.1 < 0.5 < found["late"] < found["noisy"] <= 0.9
    with pytest.raises(UserError, match=r"above the highest scanned sparsity, 0\.9"):
        training.Sensitivity(0.9, weights, drops).sparsities(0.95)


@pytest.fixture(scope="module")
def clustered(model, data):
    return training.cluster(model, data, clusters=8, **SILENT)


def test_clustered_kernels_have_so_many_values(model, clustered, data):
    distinct = {name: len(np.unique(kernel(clustered, name))) for name in [*HEAVY, "stem", "depthwise"]}
    assert all(distinct[name] <= 8 for name in HEAVY)
    assert distinct["stem"] > 100 and distinct["depthwise"] > 100
    assert isinstance(clustered, keras.Model) and accuracy(clustered, data) >= accuracy(model, data) - 0.1


def test_clusters_out_of_range_are_one_line(model, data):
    with pytest.raises(UserError, match="clusters must be 2 or more, such as 16, not 1"):
        training.cluster(model, data, clusters=1)


@pytest.mark.slow
def test_quantization_aware_training_keeps_the_zeros_when_told_to(pruned, data, tmp_path):
    """Zeros as the file has them, after a training that undoes them otherwise."""
    shares = {}
    for preserve in ("sparsity", None):
        aware = training.quantize_aware(pruned, data.images("train", 32)[0], preserve=preserve)
        training.fit(aware, data, training.Recipe(epochs=1, learning_rate=5e-3, warmup_epochs=0.0), verbose=0)
        found = zeros_by_operator(tflite.convert(aware, tmp_path / f"{preserve}.tflite", quantize="int8"))
        shares[preserve] = [share for i, (_, share) in enumerate(found) if i not in (0, 2)]  # not stem and depthwise
    assert min(shares["sparsity"]) >= 0.74
    assert max(shares[None]) < 0.74
