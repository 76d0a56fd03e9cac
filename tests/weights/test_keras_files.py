"""Weights that keras.applications publishes, written here in its files' formats, give its outputs."""

import hashlib
import pickle

import h5py
import keras
import numpy as np
import pytest

import keras_mobilenets as km
from keras_mobilenets.errors import UserError
from keras_mobilenets.weights import imagenet

# Builder, its arguments, the one of keras.applications, whether that takes pixels 0..255.
SAME = [
    ("MobileNetV1", {"alpha": 0.25}, "MobileNet", False),
    ("MobileNetV2", {"alpha": 0.35}, "MobileNetV2", False),
    ("MobileNetV3Small", {"alpha": 0.75}, "MobileNetV3Small", True),
    ("MobileNetV3Large", {"minimalistic": True}, "MobileNetV3Large", True),
    ("EfficientNetB0", {}, "EfficientNetB0", True),
    pytest.param("EfficientNetV2B0", {}, "EfficientNetV2B0", True, marks=pytest.mark.slow),
    pytest.param("ConvNeXtTiny", {}, "ConvNeXtTiny", True, marks=pytest.mark.slow),  # see nested too
    pytest.param("EfficientNetV2S", {}, "EfficientNetV2S", True, marks=pytest.mark.slow),
    pytest.param("ResNet50", {}, "ResNet50", False, marks=pytest.mark.slow),  # quick: without its top, see caffe
]
SIZE = 64


def _slow(case):
    return pytest.param(*getattr(case, "values", case), marks=pytest.mark.slow)


def theirs(name, include_top=True, size=SIZE, **arguments):
    """A model of keras.applications with random weights, statistics and biases too."""
    arguments |= {"weights": None, "include_top": include_top, "input_shape": (size, size, 3)}
    arguments |= {"classifier_activation": None} if include_top else {}
    model = getattr(keras.applications, name)(**arguments)
    with_random_statistics(model)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.weights:
            layer.finalize_state()  # it uses the new values from here on
    return model


def with_random_statistics(model):
    """Gives a Keras 3 or Keras 2 model statistics and biases that a mistake in their order would show."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        path, leaf = getattr(weight, "path", weight.name).removesuffix(":0").rsplit("/", 1)
        if leaf == "gamma" or "layer_scale" in path:  # small ones keep rounding errors from growing in residual sums
            weight.assign(rng.uniform(0.2, 0.6, weight.shape))
        elif leaf in ("moving_variance", "variance"):
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
        elif leaf in ("beta", "moving_mean", "bias", "mean"):
            weight.assign(0.1 * rng.standard_normal(weight.shape))


def write_legacy(path, model):
    """Writes weights as the published files have them: groups of layers, their order and names in attributes."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        for layer in model.layers:
            group = file.create_group(layer.name)
            ordered = layer.trainable_weights + layer.non_trainable_weights
            group.attrs["weight_names"] = [f"{layer.name}/{weight.name}:0".encode() for weight in ordered]
            for weight in ordered:
                group[f"{layer.name}/{weight.name}:0"] = np.asarray(weight)
    return path


def pixels(size=SIZE):
    return np.random.default_rng(1).uniform(0, 255, (2, size, size, 3)).astype(np.float32)


def difference(ours, reference, images, scaled_images):
    """The largest, relative to the largest output where that is above 1."""
    expected = np.asarray(reference(images, training=False))
    actual = np.asarray(ours(scaled_images, training=False))
    assert actual.shape == expected.shape
    return np.abs(actual - expected).max() / max(1, np.abs(expected).max())


@pytest.mark.parametrize(("name", "arguments", "their_name", "takes_pixels"), SAME, ids=str)
def test_files_of_keras_applications_give_its_outputs(name, arguments, their_name, takes_pixels, tmp_path):
    _assert_outputs_of_keras_applications(name, arguments, their_name, takes_pixels, True, tmp_path / "new.weights.h5")


@pytest.mark.parametrize(
    ("name", "arguments", "their_name", "takes_pixels"),
    [case if case[0] in ("MobileNetV1", "MobileNetV3Small") else _slow(case) for case in SAME],  # see "imagenet" too
    ids=str,
)
def test_their_files_without_top_in_the_old_format_too(name, arguments, their_name, takes_pixels, tmp_path):
    _assert_outputs_of_keras_applications(name, arguments, their_name, takes_pixels, False, tmp_path / "old.h5")


def _assert_outputs_of_keras_applications(name, arguments, their_name, takes_pixels, include_top, path):
    reference = theirs(their_name, include_top, **arguments)
    reference.save_weights(path) if include_top else write_legacy(path, reference)
    arguments = arguments | {"include_top": include_top, "input_shape": (SIZE, SIZE, 3), "classifier_activation": None}
    ours = km.create_model(name, weights=path, **arguments)
    scaled = km.preprocess_input(pixels())
    assert difference(ours, reference, pixels() if takes_pixels else scaled, scaled) < 1e-5


@pytest.mark.parametrize(
    ("name", "their_name", "include_top"),
    [
        pytest.param("RegNetX200MF", "RegNetX002", True, marks=pytest.mark.slow),
        pytest.param("RegNetY200MF", "RegNetY002", False, marks=pytest.mark.slow),
        pytest.param("RegNetX400MF", "RegNetX004", True, marks=pytest.mark.slow),
        pytest.param("RegNetX800MF", "RegNetX008", False, marks=pytest.mark.slow),
        pytest.param("RegNetY1_6GF", "RegNetY016", True, marks=pytest.mark.slow),
    ],
)
def test_files_of_the_regnets_of_keras_2_give_its_outputs(name, their_name, include_top, tmp_path):
    import tf_keras

    logits = {"include_top": include_top, "input_shape": (SIZE, SIZE, 3)}
    reference = getattr(tf_keras.applications.regnet, their_name)(weights=None, **logits)
    with_random_statistics(reference)
    reference.save_weights(tmp_path / "old.h5")
    scaled = km.preprocess_input(pixels())
    logits |= {"classifier_activation": None}
    ours = km.create_model(name, weights=tmp_path / "old.h5", **logits)
    assert difference(ours, reference, pixels(), scaled) < 1e-5
    with pytest.warns(UserWarning, match="pixels of another scale"):
        plain = km.load_weights(km.create_model(name, **logits), tmp_path / "old.h5")
    assert difference(plain, reference, pixels(), pixels() / 255) < 1e-5


@pytest.mark.parametrize("form", ["old.h5", pytest.param("new.weights.h5", marks=pytest.mark.slow)])
def test_files_of_xception_give_its_outputs(form, tmp_path):
    reference = theirs("Xception", form == "new.weights.h5", size=96)
    path = tmp_path / form
    write_legacy(path, reference) if form == "old.h5" else reference.save_weights(path)
    arguments = {"include_top": form == "new.weights.h5", "input_shape": (96, 96, 3), "classifier_activation": None}
    scaled = km.preprocess_input(pixels(96))
    assert difference(km.Xception(weights=path, **arguments), reference, scaled, scaled) < 1e-5
    assert difference(km.load_weights(km.Xception(**arguments), path), reference, scaled, scaled) < 1e-5


def _small_convnext(name, include_top=True, preprocessing=True):
    """A ConvNeXt of keras.applications that is quickly built: its function takes any depths and widths."""
    from keras.src.applications.convnext import ConvNeXt

    model = ConvNeXt(
        (2, 2, 6, 2),
        (16, 32, 64, 128),
        include_preprocessing=preprocessing,
        include_top=include_top,
        input_shape=(SIZE, SIZE, 3),
        classes=7,
        classifier_activation=None,
        name=name,
    )
    with_random_statistics(model)
    return model


@pytest.mark.parametrize("preprocessing", [True, False], ids=["pixels", "scaled"])
@pytest.mark.parametrize("form", ["new.weights.h5", "old.h5"])
def test_convnexts_of_nested_layers_say_whether_they_scale_pixels(form, preprocessing, tmp_path):
    reference = _small_convnext("convnext_small", form == "new.weights.h5", preprocessing)
    path = tmp_path / form
    reference.save_weights(path) if form.startswith("new") else write_legacy(path, reference)
    arguments = {"input_shape": (SIZE, SIZE, 3), "include_top": form.startswith("new"), "classifier_activation": None}
    ours = km.ConvNeXtAtto(alpha=0.4, classes=7, weights=path, **arguments)
    scaled = km.preprocess_input(pixels())
    assert ("scaling" in [layer.name for layer in ours.layers]) == preprocessing
    assert difference(ours, reference, pixels() if preprocessing else scaled, scaled) < 1e-5


def test_a_convnext_of_other_stages_is_refused(tmp_path):
    _small_convnext("convnext_small").save_weights(tmp_path / "new.weights.h5")
    with pytest.raises(UserError, match=r"new\.weights\.h5 does not fit convnextnano"):
        km.ConvNeXtNano((SIZE, SIZE, 3), 0.2, classes=7, weights=tmp_path / "new.weights.h5")


@pytest.fixture
def publish(tmp_path, monkeypatch):
    """Publishes a model's weights as a row of imagenet.csv says, but at a file:// URL and with their own MD5."""
    from keras.src.backend import config

    monkeypatch.setattr(config, "_KERAS_DIR", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()

    def as_row(model, builder, arguments="", size="224", **changes):
        rows = imagenet.published()
        row = next(row for row in rows if (row.builder, row.arguments) == (builder, arguments))
        file = row.url.rsplit("/", 1)[1]
        top = "" if model.layers[-1].name == "predictions" or model.output_shape[-1] == 1000 else row.without_top
        written = write_legacy(tmp_path / file.format(size=size, top=top), model)
        md5 = hashlib.md5(written.read_bytes()).hexdigest()
        changed = row._replace(url=f"{tmp_path.as_uri()}/{file}", hash=md5, hash_without_top=md5)._replace(**changes)
        monkeypatch.setattr(imagenet, "published", lambda: [changed if r == row else r for r in rows])

    return as_row


@pytest.mark.parametrize("include_top", [True, False], ids=["top", "no_top"])
def test_imagenet_fetches_the_file_of_the_alpha_and_size(publish, include_top):
    reference = theirs("MobileNetV2", include_top, size=96, alpha=0.35)
    publish(reference, "MobileNetV2", "alpha=0.35", size="96")
    arguments = {"alpha": 0.35, "include_top": include_top, "input_shape": (96, 96, 3), "classifier_activation": None}
    scaled = km.preprocess_input(pixels(96))
    assert difference(km.MobileNetV2(weights="imagenet", **arguments), reference, scaled, scaled) < 1e-5
    model = km.load_weights(km.MobileNetV2(**arguments), "imagenet")
    assert difference(model, reference, scaled, scaled) < 1e-5


def test_imagenet_of_efficientnet_scales_pixels_as_it_was_trained(publish):
    reference = theirs("EfficientNetB0", include_top=False)
    publish(reference, "EfficientNetB0")
    normalization = next(layer for layer in reference.layers if isinstance(layer, keras.layers.Normalization))
    _, variance, _ = normalization.weights
    variance.assign(np.asarray(variance) * [0.229, 0.224, 0.225])  # keras.applications divides by the root of these too
    normalization.finalize_state()
    model = km.EfficientNetB0(include_top=False, weights="imagenet", input_shape=(SIZE, SIZE, 3))
    assert difference(model, reference, pixels(), km.preprocess_input(pixels())) < 1e-5
    with pytest.raises(UserError, match=r'EfficientNetB0\(weights="imagenet"\)'):
        km.load_weights(km.EfficientNetB0(include_top=False), "imagenet")


@pytest.mark.parametrize("name", ["ResNet50", "VGG16"])
def test_imagenet_of_the_caffe_models_takes_the_same_images_as_all_others(publish, name):
    reference = theirs(name, include_top=False)
    publish(reference, name)
    caffe = keras.applications.vgg16.preprocess_input(pixels())
    model = km.create_model(name, include_top=False, weights="imagenet", input_shape=(SIZE, SIZE, 3))
    assert difference(model, reference, caffe, km.preprocess_input(pixels())) < 1e-5


@pytest.mark.slow
def test_imagenet_keeps_the_layers_in_front_of_the_network_and_its_scaling_survives_saving(publish, tmp_path):
    reference = theirs("EfficientNetV2B0", include_top=False)
    publish(reference, "EfficientNetV2B0")
    image = keras.Input((SIZE, SIZE, 3))
    flip = keras.layers.RandomFlip(name="flip")
    model = km.EfficientNetV2B0(include_top=False, weights="imagenet", input_tensor=flip(image))
    assert model.input is image
    assert model.get_layer("flip") is flip
    images = km.preprocess_input(pixels())
    assert difference(model, reference, pixels(), images) < 1e-5
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False)
    assert difference(loaded, model, images, images) == 0


def test_damaged_download_is_refused_in_one_line(publish):
    publish(theirs("MobileNet", alpha=0.25), "MobileNetV1", "alpha=0.25", hash="0" * 32)
    with pytest.raises(UserError, match="cannot download") as caught:
        km.MobileNetV1(alpha=0.25, weights="imagenet", input_shape=(SIZE, SIZE, 3))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: km.MobileNetV2(alpha=0.4, weights="imagenet"), "alpha=1.4; alpha=1.3; alpha=1.0; alpha=0.75"),
        (lambda: km.MobileNetV3Small(alpha=0.75, minimalistic=True, weights="imagenet"), "minimalistic=True"),
        (lambda: km.MobileNetV2(classes=10, weights="imagenet"), "include_top=False"),
        (lambda: km.ResNet18(alpha=0.25, weights="imagenet"), "for MobileNetV1, MobileNetV2"),
        (lambda: km.MobileNetV1(alpha=0.25, weights="missing.h5"), "missing.h5"),
        (lambda: km.MobileNetV1(alpha=0.25, weights=True), "imagenet"),
    ],
)
def test_weights_that_do_not_exist_are_one_line(call, says):
    with pytest.raises(UserError, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_every_published_variant_is_of_a_builder_and_has_its_own_files():
    rows = imagenet.published()
    files = [row.url.format(size=size, top=top) for row in rows for size in row.sizes.split() or [""]
             for top in ("", row.without_top)]  # fmt: skip
    assert len(files) == len(set(files)) == 2 * (4 * 4 + 6 * 5 + 6 + 8 + 7 + 2 + 24 + 1 + 4)
    assert {row.builder for row in rows} <= set(km.list_models())


def test_a_file_of_another_network_leaves_the_model_as_it_was(tmp_path):
    km.MobileNetV1(alpha=0.25).save_weights(tmp_path / "v1.weights.h5")
    write_legacy(tmp_path / "v1.h5", theirs("MobileNet", alpha=0.25))
    model = km.MobileNetV2(alpha=0.35)
    before = model.get_weights()
    for file in ("v1.weights.h5", "v1.h5"):
        with pytest.raises(UserError, match="does not fit"):
            km.load_weights(model, tmp_path / file)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5", ".h5", ".safetensors"])
def test_own_files_come_back(tmp_path, suffix):
    model = km.MobileNetV2(alpha=0.35, classes=3, input_shape=(32, 32, 3))
    path = tmp_path / f"model{suffix}"
    if suffix == ".safetensors":
        from safetensors.numpy import save_file

        save_file({weight.path: np.asarray(weight) for weight in model.weights}, path)
    elif suffix == ".weights.h5":
        model.save_weights(path)
    else:
        model.save(path)
    loaded = km.load_weights(km.MobileNetV2(alpha=0.35, classes=3, input_shape=(32, 32, 3)), path)
    assert all(np.array_equal(a, b) for a, b in zip(loaded.get_weights(), model.get_weights(), strict=True))


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_own_files_fit_another_input_size_where_layers_stand_in_another_order(tmp_path, suffix):
    def attended(size, weights=None):
        inputs = keras.Input((size, size, 3), name="image")
        gate = km.blocks.dfc_attention(inputs, 3, name="gate")  # of odd sizes it has two layers more
        rows = km.blocks.conv_bn(km.blocks.conv_bn(inputs, 3, 1, name="first"), 3, 1, name="second")
        model = keras.Model(inputs, keras.layers.Multiply()([gate, rows]))
        return model if weights is None else km.load_weights(model, weights)

    source, rng = attended(8), np.random.default_rng(0)
    source.set_weights([rng.uniform(size=weight.shape) for weight in source.weights])
    source.save(path) if (path := tmp_path / f"m{suffix}").suffix == ".keras" else source.save_weights(path)
    loaded = {weight.path: np.asarray(weight) for weight in attended(9, path).weights}
    assert list(loaded) != [weight.path for weight in source.weights]
    assert all(np.array_equal(loaded[weight.path], weight) for weight in source.weights)


@pytest.mark.parametrize("suffix", [".h5", ".weights.h5", ".keras", ".safetensors", ".bin", ".pt"])
def test_damaged_and_pickled_files_are_refused_in_one_line(tmp_path, suffix):
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(pickle.dumps({"stem/kernel": 1}))
    with pytest.raises(UserError) as caught:
        km.load_weights(km.MobileNetV2(alpha=0.35, input_shape=(32, 32, 3)), path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_safetensors_of_pytorch_names_point_to_from_torch(tmp_path):
    from safetensors.numpy import save_file

    save_file({"conv_stem.weight": np.zeros((8, 3, 3, 3), np.float32)}, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match="from_torch"):
        km.load_weights(km.MobileNetV2(alpha=0.35, input_shape=(32, 32, 3)), tmp_path / "model.safetensors")


def test_predictions_of_another_shape_are_refused():
    with pytest.raises(UserError, match="1000"):
        km.decode_predictions(np.zeros((2, 10)))
    with pytest.raises(UserError, match="top"):
        km.decode_predictions(np.zeros((2, 1000)), top=0)


def test_predictions_are_named_by_the_class_index(monkeypatch):
    from keras.src.applications import imagenet_utils

    monkeypatch.setattr(imagenet_utils, "CLASS_INDEX", {str(i): [f"n{i:08}", f"class {i}"] for i in range(1000)})
    scores = np.zeros((1, 1000), np.float32)
    scores[0, [3, 7]] = 0.25, 0.75
    assert km.decode_predictions(scores, top=2) == [[("n00000007", "class 7", 0.75), ("n00000003", "class 3", 0.25)]]
