"""Convolutions in groups: the same numbers in every form, and the form that each target takes."""

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from networks import coloured_noise

from keras_mobilenets import tflite
from keras_mobilenets.tflite.conversion import target_rewriter
from keras_mobilenets.tflite.conversion.float_graph import float_graph
from keras_mobilenets.tflite.conversion.grouped_convolutions import fit_groups, joined_groups
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.targets.operator_forms import FORMS, Forms

SIZE = 16
PAIRS = (("nnapi", "int8"), ("litert", "int8"), ("gpu", "int8"), ("nnapi", "none"), ("gpu", "none"))


@pytest.fixture(scope="module")
def model():
    """Groups of 2 and of 3 channels, of 5 filters, of a whole multiple of 4, of one channel; ReLUs after a sum."""
    keras.utils.set_random_seed(0)
    x = image = keras.Input((SIZE, SIZE, 3), name="image")
    x = keras.layers.Rescaling(1 / 127.5, -1)(x)
    for filters, side, groups in ((12, 3, 1), (12, 3, 6), (20, 1, 4), (16, 3, 4), (32, 3, 2), (16, 3, 16)):
        x = keras.layers.Conv2D(filters, side, padding="same", groups=groups, activation="relu")(x)
    for _ in range(2):
        branch = keras.layers.Activation("relu")(x)
        x = keras.layers.Add()([x, keras.layers.Conv2D(16, 3, padding="same", groups=2)(branch)])
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU(6.0)(x))
    return keras.Model(image, keras.layers.Dense(5, name="answer")(x))


@pytest.fixture(scope="module")
def images():
    return coloured_noise(64, SIZE)


@pytest.fixture(scope="module")
def converted(model, images, tmp_path_factory):
    folder, found = tmp_path_factory.mktemp("groups"), {}
    for target, quantize in PAIRS:
        path = folder / f"{target}_{quantize}.tflite"
        calibration = {"calibration": images, "effort": "low"} if quantize == "int8" else {}
        found[target, quantize] = tflite.convert(model, path, quantize=quantize, target=target, **calibration)
    return found


def _groups(path):
    """Input channels and filters of every group of a file's convolutions."""
    graph = flatbuffer.Graph(flatbuffer.read(path.read_bytes()))
    for operator in graph.operators:
        if graph.name(operator) == "CONV_2D":
            channels, kernel = graph.shape(int(operator.inputs[0]))[-1], graph.shape(int(operator.inputs[1]))
            if channels != kernel[-1]:
                yield kernel[-1], kernel[0] * kernel[-1] // channels


def _outputs(content, images):
    """What the reference kernels, or XNNPACK for a float file, give for images."""
    model = flatbuffer.read(content)
    is_float = model.subgraphs[0].tensors[model.subgraphs[0].inputs[0]].type == 0
    resolver = OpResolverType.BUILTIN if is_float else OpResolverType.BUILTIN_REF
    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    (source,), (sink,) = interpreter.get_input_details(), interpreter.get_output_details()
    found = []
    for image in images:
        value = image.astype(np.float32) if is_float else (image.astype(np.int16) - 128).astype(np.int8)
        interpreter.set_tensor(source["index"], value[None])
        interpreter.invoke()
        found.append(interpreter.get_tensor(sink["index"])[0].copy())
    return np.stack(found)


def test_joined_groups_give_the_same_numbers(converted, images):
    native, joined = (converted[target, "int8"].read_bytes() for target in ("nnapi", "gpu"))
    expected = _outputs(native, images[:8])
    assert np.array_equal(_outputs(joined, images[:8]), expected)
    assert len(np.unique(expected)) > 8
    native, joined = (converted[target, "none"].read_bytes() for target in ("nnapi", "gpu"))
    np.testing.assert_allclose(_outputs(joined, images[:8]), _outputs(native, images[:8]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("target", "quantize"), [("litert", "int8"), ("gpu", "int8"), ("gpu", "none")])
def test_no_group_has_channels_that_the_gpu_delegate_computes_wrongly(converted, target, quantize):
    found = list(_groups(converted[target, quantize]))
    assert found and all(inputs % 4 == filters % 4 == 0 or inputs == filters == 1 for inputs, filters in found)
    assert any(inputs % 4 for inputs, _ in _groups(converted["nnapi", quantize]))


def test_nnapi_takes_groups_of_the_version_that_its_delegate_knows(converted):
    path = converted["nnapi", "int8"]
    assert not tflite.check_nnapi(path).refused
    model = flatbuffer.read(path.read_bytes())
    for code in model.operatorCodes:
        code.version = 6 if code.builtinCode == 3 else code.version
    path.with_name("six.tflite").write_bytes(flatbuffer.write(model))
    refused = tflite.check_nnapi(path.with_name("six.tflite")).refused
    assert refused and all("version 6" in str(each) for each in refused)


def test_relus_after_sums_stay_in_the_partition(converted, images):
    native, litert = (flatbuffer.read(converted[target, "int8"].read_bytes()) for target in ("nnapi", "litert"))
    names = [[flatbuffer.operator_name(m, op) for op in m.subgraphs[0].operators] for m in (native, litert)]
    assert (names[0].count("RELU"), names[0].count("RELU6")) == (2, 1)
    assert not {"RELU", "RELU6"} & set(names[1]) and names[1].count("QUANTIZE") == 3
    found = tflite.inspect(converted["litert", "int8"])
    assert found.partitions == 1 and found.nodes_delegated == found.nodes


def test_relus_as_rounding_give_the_same_numbers(converted, images):
    native = converted["nnapi", "int8"].read_bytes()
    rounded = target_rewriter.rewrite(native, Forms(per_channel_dense=False, relu="quantize"))
    difference = _outputs(rounded, images[:8]).astype(int) - _outputs(native, images[:8])
    assert abs(difference).max() <= 1


@pytest.mark.parametrize(
    ("groups", "inputs", "filters", "multiple", "most", "times"),
    [
        (8, 8, 8, 4, 1, 1),
        (6, 2, 2, 4, 1, 2),
        (8, 1, 2, 4, 1, 4),
        (3, 5, 5, 4, 16, 3),  # none fits: dense
        (6, 10, 6, 4, 1, 2),
        (16, 1, 1, 4, 16, 1),  # depthwise
        (46, 8, 8, 4, 16, 2),
        (23, 8, 8, 4, 16, 1),  # all 23 would be too many
        (16, 2, 4, 4, 16, 4),
    ],
)
def test_groups_are_joined_as_far_as_the_target_asks_for(groups, inputs, filters, multiple, most, times):
    assert joined_groups(groups, inputs, filters, multiple, most) == times


def test_a_file_without_groups_stays_as_it_is():
    image = keras.Input((SIZE, SIZE, 3))
    content = float_graph(keras.Model(image, keras.layers.Conv2D(4, 3)(image))).content
    assert fit_groups(content, FORMS["gpu"]) is content
