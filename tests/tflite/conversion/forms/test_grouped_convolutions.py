"""Convolutions in groups, and ReLUs on their own: the same numbers in every form, and the form that each target takes.

The files are written operator by operator, without a converter.
"""

import functools

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from keras_mobilenets import tflite
from keras_mobilenets.tflite.conversion.forms.grouped_convolutions import fit_groups, joined_groups
from keras_mobilenets.tflite.conversion.target_rewriter import rewrite
from keras_mobilenets.tflite.graph import flatbuffer
from keras_mobilenets.tflite.targets.operator_forms import FORMS, Forms

SIZE = 6
# Filters, side and groups of convolutions, one after the other; the first reads 12 channels.
LAYERS = ((12, 3, 6), (20, 1, 4), (16, 3, 4), (32, 3, 4), (32, 3, 2), (32, 3, 32))
INT8, FLOAT16, FLOAT32 = (getattr(schema.TensorType, name) for name in ("INT8", "FLOAT16", "FLOAT32"))
RELU6 = schema.ActivationFunctionType.RELU6


def _fitted(content, target):
    return flatbuffer.changed(content, functools.partial(fit_groups, forms=FORMS[target]))


class _Network(flatbuffer.Graph):
    """A network written operator by operator, each on what the last gives; every activation has the range of ReLU6."""

    def __init__(self, weights):
        super().__init__(
            schema.ModelT(version=3, operatorCodes=[], buffers=[schema.BufferT()], subgraphs=[_empty_graph()])
        )
        self.weights, self.rng = weights, np.random.default_rng(0)
        self.last = self._activation(12)
        self.model.subgraphs[0].inputs = np.array([self.last], np.int32)

    def add(self, name, inputs, channels, signed=False, version=2):
        output = self._activation(channels, signed)
        operator = self.insert(name, inputs, output, len(self.operators), version)
        self.last = output
        return operator

    def convolve(self, filters, side, groups, signed=False):
        channels = self.shape(self.last)[-1]
        kernel = (
            self.rng.normal(0, 1, (filters, side, side, channels // groups)) * 1.5 / side / np.sqrt(channels / groups)
        )
        if self.weights == INT8:
            steps = np.abs(kernel).max(axis=(1, 2, 3)) / 127
            values = np.rint(kernel / steps[:, None, None, None]).astype(np.int8)
            place = self.add_tensor("kernel", values.shape, INT8, _steps(steps), values)
            bias = np.full(filters, 20, np.int32)
            bias = self.add_tensor("bias", (filters,), schema.TensorType.INT32, _steps(steps * 6 / 255), bias)
        else:
            stored = kernel.astype(np.float16 if self.weights == FLOAT16 else np.float32)
            place = self.add_tensor("kernel", kernel.shape, self.weights, None, stored)
            if self.weights == FLOAT16:
                read = self.add_tensor("read", kernel.shape, FLOAT32)
                self.insert("DEQUANTIZE", [place], read, len(self.operators), 3)
                place = read
            bias = self.add_tensor("bias", (filters,), FLOAT32, None, np.full(filters, 0.1, np.float32))
        convolution = self.add("CONV_2D", [self.last, place, bias], filters, signed, version=6)
        options = convolution.builtinOptions
        options.strideW = options.strideH = options.dilationWFactor = options.dilationHFactor = 1
        options.fusedActivationFunction = 0 if signed else RELU6

    def multiply(self, times):
        """A depthwise convolution with so many filters for each channel."""
        filters = times * self.shape(self.last)[-1]
        kernel = self.rng.normal(0, 0.4, (1, 3, 3, filters))
        scales = _steps(np.full(filters, 0.01)) if self.weights == INT8 else None
        if scales is not None:
            kernel, scales.quantizedDimension = np.rint(kernel / 0.01).clip(-127, 127), 3
        stored = kernel.astype(np.int8 if self.weights == INT8 else np.float32)
        place = self.add_tensor("kernel", kernel.shape, self.weights, scales, stored)
        kind, bias = (schema.TensorType.INT32, np.int32) if self.weights == INT8 else (FLOAT32, np.float32)
        scales = _steps(np.full(filters, 0.01 * 6 / 255)) if self.weights == INT8 else None
        bias = self.add_tensor("bias", (filters,), kind, scales, np.zeros(filters, bias))
        options = self.add("DEPTHWISE_CONV_2D", [self.last, place, bias], filters, version=3).builtinOptions
        options.strideW = options.strideH = options.dilationWFactor = options.dilationHFactor = 1
        options.depthMultiplier, options.fusedActivationFunction = times, RELU6

    def clamp(self, name):
        """A RELU or RELU6, operators without options."""
        before, self.last = self.last, self._activation(self.shape(self.last)[-1])
        code, ends = self._code(getattr(schema.BuiltinOperator, name), 2), ([before], [self.last])
        inputs, outputs = (np.array(end, np.int32) for end in ends)
        self.operators.append(schema.OperatorT(opcodeIndex=code, inputs=inputs, outputs=outputs))

    def content(self):
        self.model.subgraphs[0].outputs = np.array([self.last], np.int32)
        return flatbuffer.write(self.model)

    def _activation(self, channels, signed=False):
        shape = (1, SIZE, SIZE, channels)
        if self.weights != INT8:
            return self.add_tensor("activation", shape, FLOAT32)
        return self.add_tensor("activation", shape, INT8, _steps([6 / 255], 0 if signed else -128))


def _empty_graph():
    return schema.SubGraphT(tensors=[], operators=[], inputs=[], outputs=[], name=b"main")


def _steps(steps, zero_point=0):
    zero_points = np.full(len(steps), zero_point, np.int64)
    return schema.QuantizationParametersT(
        scale=np.asarray(steps, np.float32), zeroPoint=zero_points, quantizedDimension=0
    )


def _grouped(weights):
    network = _Network(weights)
    for layer in LAYERS:
        network.convolve(*layer)
    return network.content()


@pytest.fixture(scope="module")
def with_relus():
    """A block with its activations in front, as in Xception: its sum is read by a ReLU and by the next sum."""
    network = _Network(INT8)
    network.convolve(12, 1, 1, signed=True)
    for name in ("RELU", "RELU6"):
        total = network.last
        network.clamp(name)
        network.convolve(12, 3, 1, signed=True)
        network.add("ADD", [total, network.last], 12, signed=True)
    return network.content()


def _outputs(content, count=4):
    """What the reference kernels give for random inputs."""
    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    interpreter.allocate_tensors()
    (source,), (sink,) = interpreter.get_input_details(), interpreter.get_output_details()
    rng, found = np.random.default_rng(1), []
    for _ in range(count):
        value = rng.integers(-128, 128, source["shape"])
        is_int8 = source["dtype"] == np.int8
        interpreter.set_tensor(source["index"], (value if is_int8 else (value + 128) / 42.5).astype(source["dtype"]))
        interpreter.invoke()
        found.append(interpreter.get_tensor(sink["index"]).astype(float))
    assert np.std(found) > (5 if is_int8 else 0.1)
    return np.stack(found)


def _groups(content):
    """Input channels and filters of every group of a file's convolutions."""
    graph = flatbuffer.Graph(flatbuffer.read(content))
    for operator in graph.operators:
        if graph.name(operator) == "CONV_2D":
            channels, kernel = graph.shape(int(operator.inputs[0]))[-1], graph.shape(int(operator.inputs[1]))
            yield kernel[-1], kernel[0] * kernel[-1] // channels


@pytest.mark.parametrize("target", ["litert", "gpu"])
@pytest.mark.parametrize("weights", [INT8, FLOAT16, FLOAT32], ids=["int8", "float16", "float32"])
def test_joined_groups_give_the_same_numbers_and_none_that_the_gpu_delegate_computes_wrongly(weights, target):
    native = _grouped(weights)
    joined = _fitted(native, target)
    np.testing.assert_allclose(_outputs(joined), _outputs(native), atol=0 if weights == INT8 else 1e-5)
    before, after = list(_groups(native)), list(_groups(joined))
    assert [inputs for inputs, _ in before] == [2, 3, 5, 4, 16, 1]
    assert all(inputs % 4 == filters % 4 == 0 for inputs, filters in after[:-1])
    assert after[-1] == (1, 1)  # depthwise
    assert after[3] == ((8, 16) if (target, weights) == ("litert", INT8) else (4, 8))


def test_a_joined_file_is_taken_by_the_gpu_delegates_rules(tmp_path):
    refused = []
    for name, content in (("native", _grouped(INT8)), ("joined", _fitted(_grouped(INT8), "gpu"))):
        path = tmp_path / f"{name}.tflite"
        path.write_bytes(content)
        refused.append([operator.index for operator in tflite.check_gpu(path).refused])
    assert refused == [[0, 1, 2], []]


def test_nnapi_takes_groups_of_the_version_that_its_delegate_knows(tmp_path):
    native = _grouped(INT8)
    fitted = _fitted(native, "nnapi")
    assert list(_groups(fitted)) == list(_groups(native))
    for name, content in (("native", native), ("fitted", fitted)):
        (tmp_path / name).with_suffix(".tflite").write_bytes(content)
    assert not tflite.check_nnapi(tmp_path / "fitted.tflite").refused
    refused = tflite.check_nnapi(tmp_path / "native.tflite").refused
    assert len(refused) == len(LAYERS) and all("version 6" in operator.reason for operator in refused)


def test_a_file_without_groups_stays_as_it_is():
    network = _Network(INT8)
    network.convolve(8, 3, 1)
    content = network.content()
    assert all(_fitted(content, target) == content for target in FORMS)


def test_relus_that_follow_no_convolution_stay_in_xnnpacks_partition(with_relus, tmp_path):
    rounded = rewrite(with_relus, Forms(per_channel_dense=True, relu=FORMS["litert"].relu))
    assert np.array_equal(_outputs(rounded), _outputs(with_relus))
    partitions = []
    for name, content in (("native", with_relus), ("rounded", rounded)):
        (tmp_path / name).with_suffix(".tflite").write_bytes(content)
        found = tflite.inspect(tmp_path / f"{name}.tflite")
        partitions.append(found.partitions if found.nodes_delegated == found.nodes else None)
    assert partitions == [None, 1]


def test_a_relu6_whose_int8_values_end_elsewhere_stays(with_relus):
    model = flatbuffer.read(with_relus)
    graph = flatbuffer.Graph(model)
    (clamp,) = (operator for operator in graph.operators if graph.name(operator) == "RELU6")
    graph.tensors[int(clamp.outputs[0])].quantization.scale = np.array([8 / 255], np.float32)
    names = _names(rewrite(flatbuffer.write(model), Forms(per_channel_dense=True, relu="quantize")))
    assert "RELU6" in names and "RELU" not in names


def _names(content):
    graph = flatbuffer.Graph(flatbuffer.read(content))
    return [graph.name(operator) for operator in graph.operators]


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


@pytest.mark.parametrize("weights", [INT8, FLOAT32], ids=["int8", "float32"])
def test_channels_of_several_filters_are_repeated_for_the_gpu_delegate_that_takes_one_each(weights, tmp_path):
    network = _Network(weights)
    network.convolve(8, 1, 1)
    network.multiply(4)
    network.convolve(8, 1, 1)
    content = network.content()
    assert _fitted(content, "litert") == content
    fitted = _fitted(content, "gpu")
    graph = flatbuffer.Graph(flatbuffer.read(fitted))
    names = [graph.name(operator) for operator in graph.operators]
    assert names == ["CONV_2D", "RESHAPE", "CONCATENATION", "RESHAPE", "DEPTHWISE_CONV_2D", "CONV_2D"]
    assert graph.operators[4].builtinOptions.depthMultiplier == 1
    assert np.array_equal(_outputs(fitted), _outputs(content))
    (tmp_path / "m.tflite").write_bytes(fitted)
    assert tflite.check_gpu(tmp_path / "m.tflite").ok
