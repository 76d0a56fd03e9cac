"""Zeros counted in the file, and the graphs that XNNPACK's sparse kernels take."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

import keras_mobilenets as km
from keras_mobilenets import tflite
from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.graph.sparsity import fit_sparse_kernels
from keras_mobilenets.tflite.targets.inspection import sizes
from keras_mobilenets.weights.adaptation import adapted


def pruned(model, share=0.8):
    """Zeros in the 1×1 kernels, the smallest first; biases that keep every channel alive."""
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if type(layer) is keras.layers.Conv2D and layer.kernel_size == (1, 1):
            kernel, *rest = layer.get_weights()
            small = np.abs(kernel) < np.quantile(np.abs(kernel), share)
            layer.set_weights([np.where(small, 0, 2 * kernel), *rest])
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, *rest = layer.get_weights()
            layer.set_weights([gamma, rng.normal(0, 0.5, beta.shape), *rest])
    return model


def converted(model, sparse=True):
    """By the stock converter from a frozen graph, with sparse tensors."""
    weights = [(variable, keras.ops.convert_to_numpy(variable)) for variable in model.variables]
    with tf.Graph().as_default() as graph:
        image = tf.compat.v1.placeholder(tf.float32, (1, *model.inputs[0].shape[1:]))
        values = [(variable, tf.constant(value)) for variable, value in weights]
        with keras.StatelessScope(state_mapping=values):
            output = tf.identity(model(image, training=False))
    converter = tf.compat.v1.lite.TFLiteConverter(graph.as_graph_def(), [image], [output])
    converter.optimizations = [tf.lite.Optimize.EXPERIMENTAL_SPARSITY] if sparse else []
    return converter.convert()


def answer(content, image):
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def operators(content):
    model = flatbuffer.read(content)
    return [flatbuffer.operator_name(model, operator) for operator in model.subgraphs[0].operators]


@pytest.fixture(scope="module")
def network():
    return pruned(km.MobileNetV2((65, 65, 3), alpha=0.35, classes=10))


@pytest.fixture(scope="module")
def sparse(network):
    return converted(network)


def weighted_zeros(model):
    """Zeros among the kernels of a Keras model, by NumPy."""
    kernels = [layer.kernel for layer in model.layers if hasattr(layer, "kernel")]
    values = np.concatenate([np.ravel(keras.ops.convert_to_numpy(kernel)) for kernel in kernels])
    return float((values == 0).mean())


def test_zeros_in_dense_and_in_sparse_tensors_are_those_of_the_kernels(network, sparse, tmp_path):
    expected = weighted_zeros(network)
    for name, content in {"sparse": sparse, "dense": converted(network, sparse=False)}.items():
        path = tmp_path / f"{name}.tflite"
        path.write_bytes(content)
        assert sizes(path).sparsity == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
def test_zeros_of_an_int8_file_are_counted_at_the_zero_point(network, tmp_path):
    path = tmp_path / "int8.tflite"
    images = np.random.default_rng(0).integers(0, 256, (4, 65, 65, 3), dtype=np.uint8)
    tflite.convert(network, path, quantize="int8", effort="low", calibration=images)
    found = tflite.inspect(path)
    assert found.sparsity == sizes(path).sparsity == pytest.approx(weighted_zeros(network), abs=0.02)
    assert found.sparsity >= weighted_zeros(network)  # rounding to int8 adds zeros and takes none
    pointwise = [op.zeros.share for op in found.operators if op.name == "CONV_2D"][1:]  # not the stem
    assert min(pointwise) > 0.79
    assert "zeros" in str(found) and f"{found.sparsity:.1%} of the weights (CONV_2D " in str(found)
    assert found.gzip_bytes == sizes(path).gzip_bytes < 0.7 * found.size_bytes


def test_fitted_graph_answers_as_before_and_pads_evenly(sparse):
    image = np.random.default_rng(0).uniform(-1, 1, (1, 65, 65, 3)).astype(np.float32)
    fitted = fit_sparse_kernels(sparse)
    np.testing.assert_allclose(answer(fitted, image), answer(sparse, image), atol=1e-6)
    strided = 5  # the stem and four depthwise convolutions
    assert operators(fitted).count("PAD") == strided and "PAD" not in operators(sparse)


@pytest.mark.parametrize(
    "builder",
    [
        "MobileNetV3Small",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("MobileNetV1", "EfficientNetLite0")),
    ],
)
def test_networks_padded_as_in_pytorch_fit_at_any_size(builder, tmp_path):
    """At an even size too, since their strided layers pad alike on both sides."""
    model = pruned(adapted(km.create_model(builder, input_shape=(64, 64, 3), classes=10), symmetric=True))
    content = converted(model)
    image = np.random.default_rng(0).uniform(-1, 1, (1, 64, 64, 3)).astype(np.float32)
    np.testing.assert_allclose(answer(fit_sparse_kernels(content), image), answer(content, image), atol=1e-6)


def test_convert_writes_sparse_tensors_that_fit_and_are_smaller(network, tmp_path):
    dense, sparse = (tflite.convert(network, tmp_path / f"{sparse}.tflite", sparse=sparse) for sparse in (False, True))
    image = np.random.default_rng(0).uniform(-1, 1, (1, 65, 65, 3)).astype(np.float32)
    np.testing.assert_allclose(answer(sparse.read_bytes(), image), answer(dense.read_bytes(), image), atol=1e-6)
    assert sizes(sparse).sparsity == sizes(dense).sparsity and sizes(sparse).size_bytes < 0.6 * sizes(dense).size_bytes
    assert {"PAD", "DENSIFY"} <= set(operators(sparse.read_bytes()))
    found = tflite.inspect(sparse)
    assert found.partitions in (1, None) and found.nodes == found.nodes_delegated


def test_convert_refuses_what_would_run_dense_and_leaves_no_file(tmp_path):
    path = tmp_path / "m.tflite"
    with pytest.raises(UserError, match="sparse=True: XNNPACK would compute this model dense"):
        tflite.convert(small_network(), path, sparse=True)
    with pytest.raises(UserError, match="no sparse kernels for float16"):
        tflite.convert(small_network(), path, quantize="float16", sparse=True)
    assert not path.exists()


def small_network(stem=3, activation="relu6", middle=lambda x: x, size=33, pooling=True):
    image = x = keras.Input((size, size, 3))
    x = keras.layers.Conv2D(16, stem, strides=2, padding="same", activation=activation)(x)
    x = keras.layers.Conv2D(64, 1, name="pointwise")(middle(x))
    x = keras.layers.GlobalAveragePooling2D()(x) if pooling else keras.layers.Flatten()(x)
    return keras.Model(image, keras.layers.Dense(4)(x))


@pytest.mark.parametrize(
    ("reason", "model"),
    [
        ("60% of the weights of its 1×1 convolutions are zeros", lambda: pruned(small_network(), 0.6)),
        ("pads 64×64 on one side only: .* such as 65", lambda: pruned(small_network(size=64))),
        ("first convolution is not 3×3 on 3 channels", lambda: pruned(small_network(stem=5))),
        ("no global mean", lambda: pruned(small_network(pooling=False))),
        ("TANH .* is no operator", lambda: pruned(small_network(middle=keras.layers.Activation("tanh")))),
        ("is 3×3: only 1×1", lambda: pruned(small_network(middle=keras.layers.Conv2D(16, 3, padding="same")))),
        ("is 7×7: only 3×3", lambda: pruned(small_network(middle=keras.layers.DepthwiseConv2D(7, padding="same")))),
        ("not padded by 1 on each side", lambda: pruned(small_network(middle=keras.layers.DepthwiseConv2D(3)))),
    ],
)
def test_a_graph_xnnpack_would_compute_dense_is_refused_with_the_reason(reason, model):
    with pytest.raises(UserError, match=reason) as refused:
        fit_sparse_kernels(converted(model()))
    assert "\n" not in str(refused.value)
