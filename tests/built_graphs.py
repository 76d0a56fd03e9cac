"""Files of a few operators, built without a converter."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from keras_mobilenets.tflite.graph import flatbuffer

INT8, FLOAT32, FLOAT16 = (getattr(schema.TensorType, name) for name in ("INT8", "FLOAT32", "FLOAT16"))
STEP = 0.1  # scale of every activation


class BuiltGraph(flatbuffer.Graph):
    """A graph of one input that grows operator by operator: each method returns the tensor that it gives."""

    def __init__(self, shape, kind="int8"):
        """The kind is "int8", "float32", or "float16", of weights."""
        graph = schema.SubGraphT(tensors=[], operators=[], inputs=np.zeros(0, np.int32), outputs=np.zeros(0, np.int32))
        super().__init__(schema.ModelT(version=3, operatorCodes=[], buffers=[schema.BufferT()], subgraphs=[graph]))
        self.kind, self.rng = kind, np.random.default_rng(0)
        self.input = self.activation(shape)

    def activation(self, shape):
        return self.add_tensor("a", shape, INT8 if self.kind == "int8" else FLOAT32, self._scales([STEP]))

    def apply(self, name, inputs, shape, version=1, **options):
        output = self.activation(shape)
        operator = self.insert(name, inputs, output, len(self.operators), version)
        for key, value in options.items():
            setattr(operator.builtinOptions, key, value)
        return output

    def integers(self, values):
        values = np.array(values, np.int32)
        return self.add_tensor("c", values.shape, schema.TensorType.INT32, None, values)

    def reshape(self, x, *shape):
        return self.apply("RESHAPE", [x, self.integers(shape)], shape)

    def transpose(self, x, *order):
        return self.apply("TRANSPOSE", [x, self.integers(order)], tuple(self.shape(x)[i] for i in order), 2)

    def channels(self, x, first, last):
        shape = self.shape(x)
        ends = [[0, 0, 0, first], [*shape[:3], last], [1, 1, 1, 1]]
        return self.apply("STRIDED_SLICE", [x, *map(self.integers, ends)], (*shape[:3], last - first), 2)

    def concatenate(self, *parts):
        channels = sum(self.shape(part)[3] for part in parts)
        return self.apply("CONCATENATION", list(parts), (*self.shape(parts[0])[:3], channels), 2, axis=3)

    def gather(self, x, indices):
        return self.apply("GATHER", [x, self.integers(indices)], self.shape(x), 2, axis=3)

    def convolution(self, x, filters, groups=1):
        """A 1×1 convolution."""
        *size, channels = self.shape(x)
        constants = self._weights((filters, 1, 1, channels // groups), 0)
        version = 6 if groups > 1 else 3
        return self.apply("CONV_2D", [x, *constants], (*size, filters), version, strideW=1, strideH=1)

    def depthwise(self, x):
        """A 3×3 convolution of each channel."""
        constants = self._weights((1, 3, 3, self.shape(x)[3]), 3)
        options = {"strideW": 1, "strideH": 1, "depthMultiplier": 1}
        return self.apply("DEPTHWISE_CONV_2D", [x, *constants], self.shape(x), 3, **options)

    def written(self, *outputs):
        """The file."""
        graph = self.model.subgraphs[0]
        graph.inputs, graph.outputs = np.array([self.input], np.int32), np.array(outputs, np.int32)
        return flatbuffer.write(self.model)

    def _weights(self, shape, axis):
        count, inside = shape[axis], np.prod(shape) / shape[axis]
        if self.kind == "int8":
            scales = self.rng.uniform(0.5, 1.5, count) / 75 / np.sqrt(inside)
            weights = self.rng.integers(-127, 128, shape).astype(np.int8)
            bias = self.rng.integers(-2000, 2000, count).astype(np.int32)
            return [
                self.add_tensor("w", shape, INT8, self._scales(scales, axis), weights),
                self.add_tensor("b", bias.shape, schema.TensorType.INT32, self._scales(scales * STEP), bias),
            ]
        weights = self.rng.normal(size=shape) / np.sqrt(inside)
        bias = self.add_tensor("b", (count,), FLOAT32, None, self.rng.normal(size=count).astype(np.float32))
        if self.kind == "float32":
            return [self.add_tensor("w", shape, FLOAT32, None, weights.astype(np.float32)), bias]
        stored = self.add_tensor("w", shape, FLOAT16, None, weights.astype(np.float16))
        wide = self.activation(shape)
        self.insert("DEQUANTIZE", [stored], wide, len(self.operators), version=3)
        return [wide, bias]

    def _scales(self, scales, axis=0):
        if self.kind != "int8":
            return None
        scales = np.asarray(scales, np.float32)
        return schema.QuantizationParametersT(
            scale=scales, zeroPoint=np.zeros(len(scales), np.int64), quantizedDimension=axis
        )


def outputs(content):
    """What a file of one input gives for random numbers, as float."""
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    (source,) = interpreter.get_input_details()
    rng = np.random.default_rng(0)
    values = (
        rng.integers(-128, 128, source["shape"]) if source["dtype"] == np.int8 else rng.normal(size=source["shape"])
    )
    interpreter.set_tensor(source["index"], values.astype(source["dtype"]))
    interpreter.invoke()
    return [interpreter.get_tensor(each["index"]).astype(float) for each in interpreter.get_output_details()]


def input_shapes(content, name):
    """The shapes that operators of a kind read."""
    graph = flatbuffer.Graph(flatbuffer.read(content))
    return [graph.shape(int(op.inputs[0])) for op in graph.operators if graph.name(op) == name]
