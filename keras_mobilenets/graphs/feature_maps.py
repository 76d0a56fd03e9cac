"""Feature maps at several scales, for a detector or a segmenter on top of a network."""

import re
from collections import Counter
from typing import Any

import keras
from keras import layers

from keras_mobilenets.errors import UserError
from keras_mobilenets.graphs.flat_model import Call, calls, flat_model

STRIDES = (4, 8, 16, 32)
_STRIDED = (
    *(layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D),
    *(layers.MaxPooling2D, layers.AveragePooling2D),
)
_ENDS = (layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D, layers.Flatten)
_MERGES = (layers.Add, layers.Concatenate)
_ARITHMETIC = (layers.Multiply, layers.Subtract, layers.Average, layers.Maximum, layers.Minimum)
_NORMS = (layers.BatchNormalization, layers.ReLU, layers.Activation)
_PASSED_BY = (layers.ZeroPadding2D, layers.Dropout, layers.LayerNormalization)  # in front of a strided convolution
_LINEAR = (layers.BatchNormalization, layers.Dropout)


def features(model: keras.Model, *, expanded: bool = False) -> keras.Model:
    """Taps a network at strides 4, 8, 16 and 32: where a pixel of the map stands for so many of the image.

    Args:
        model: A convolutional Keras model, with or without the classifier: of a builder, of keras.applications, your
            own, or one that has such a model inside it.
        expanded: Tap inside the block that follows, after its expansion and before it halves the image, as SSDLite
            does (MobileNetV2, section 6.2). Blocks without an expansion are tapped at their end.

    Returns:
        A model of the same layers and weights, without the classifier. Its output is a dictionary from "stride_4",
        "stride_8", ... to the last feature map at that stride that the whole network behind it goes through: the output
        of a block, where there are shortcuts. The last of them is the last feature map. Strides that the network does
        not have are left out.

    Raises:
        UserError: The model has no feature map at these strides, or its graph cannot be seen.
    """
    flat = flat_model(model)
    graph = _Graph(flat)
    image = next((x for x in flat.inputs if len(x.shape) == 4), None)
    taps = {}
    for stride in STRIDES:
        maps = [call for call in graph.calls if graph.strides.get(id(call.outputs[0])) == stride]
        maps = [call for call in maps if _is_map(call.outputs[0], image)] or maps
        if not expanded:
            maps = [call for call in maps if _block(call) not in graph.halving] or maps
        if maps:
            through = [call for call in maps if id(call) in graph.cuts]
            merges = [call for call in maps if isinstance(call.layer, _MERGES)]
            last = (through or merges or maps)[-1]
            taps[f"stride_{stride}"] = last.outputs[0] if stride == graph.last else graph.block_end(last, expanded)
    if not taps:
        raise UserError(
            f"{model.name} has no feature map at stride 4, 8, 16 or 32: features() takes a convolutional network, such "
            "as one of this package's builders"
        )
    return keras.Model(flat.input, taps, name=f"{model.name}_features")


def _is_map(x: Any, image: Any) -> bool:
    """Whether a tensor has the sides' ratio of the image, which a map has and a channel shuffle's rows have not."""
    (height, width), (high, wide) = x.shape[1:3], image.shape[1:3]
    return None in (height, width, high, wide) or abs(height * wide - width * high) < max(high, wide)


def _block(call: Call) -> str | None:
    """The block of a builder that a layer belongs to, by its name: "block_3" of "block_3_expand_bn"."""
    found = re.match(r"(?:block|downsample)_\d+(?=_|$)", call.layer.name)
    return found and found[0]


class _Graph:
    """The feature maps of a network.

    Attributes:
        calls: Its calls, in order.
        strides: By the id of a feature map, how many pixels of the image one of its positions stands for.
        cuts: The ids of the calls whose output all that follows goes through.
        last: The stride of the last feature map.
        halving: The blocks that halve the image: what they do before is no part of the stride before.
    """

    def __init__(self, model: keras.Model):
        self.calls = calls(model)
        self.strides: dict[int, float] = {id(x): 1 for x in model.inputs if len(x.shape) == 4}
        self.cuts: set[int] = set()
        self.last: float = 0
        self.halving: set[str] = set()
        self._makers = {id(call.outputs[0]): call for call in self.calls}
        left = Counter(id(x) for call in self.calls for x in call.inputs)
        alive = {id(x) for x in model.inputs}
        for call in self.calls:
            left.subtract(id(x) for x in call.inputs)
            alive = {x for x in alive | {id(x) for x in call.outputs} if left[x]}
            output = call.outputs[0]
            known = [self.strides[id(x)] for x in call.inputs if id(x) in self.strides]
            if known and len(output.shape) == 4 and not isinstance(call.layer, _ENDS):
                shared = _shared_stride(call.layer, known)
                self.strides[id(output)] = shared * _own_stride(call)
                if self.strides[id(output)] > shared and (block := _block(call)):
                    self.halving.add(block)
                if alive <= {id(output)}:
                    self.cuts.add(id(call))
                    self.last = self.strides[id(output)]

    def block_end(self, call: Call, expanded: bool) -> Any:
        """The output of the last block up to a call, which may be inside the block that follows."""
        call = self._before(call, _PASSED_BY)
        pointwise = self._before(call, _NORMS)
        is_expansion = isinstance(pointwise.layer, layers.Conv2D) and pointwise.layer.kernel_size == (1, 1)
        before = self._makers.get(id(pointwise.inputs[0]))
        if expanded or not is_expansion or before is None:
            return call.outputs[0]
        # The expansion of an inverted residual reads a linear bottleneck, perhaps through a linear depthwise
        # convolution (MobileNetV4, figure 4); MobileNetV1's pointwise convolution reads a ReLU.
        source = self._before(before, _LINEAR)
        activation = getattr(source.layer, "activation", None)
        if isinstance(source.layer, layers.DepthwiseConv2D) and activation is keras.activations.linear:
            return source.inputs[0]
        is_convolution = isinstance(source.layer, layers.Conv2D) and activation is keras.activations.linear
        is_separable = isinstance(self._before(before, _NORMS).layer, layers.DepthwiseConv2D)
        opens = is_convolution or isinstance(source.layer, layers.Add) or (self._is_halved(call) and not is_separable)
        return before.outputs[0] if opens else call.outputs[0]

    def _is_halved(self, call: Call) -> bool:
        """Whether a depthwise convolution with strides reads a call, perhaps padded."""
        readers = [other for other in self.calls if any(x is call.outputs[0] for x in other.inputs)]
        return any(
            self._is_halved(other)
            if isinstance(other.layer, layers.ZeroPadding2D)
            else isinstance(other.layer, layers.DepthwiseConv2D) and max(other.layer.strides) > 1
            for other in readers
        )

    def _before(self, call: Call, kinds: tuple) -> Call:
        """The call whose output goes to this one through layers of some kinds only."""
        while isinstance(call.layer, kinds) and id(call.inputs[0]) in self._makers:
            call = self._makers[id(call.inputs[0])]
        return call


def _shared_stride(layer: Any, strides: list[float]) -> float:
    """That of the maps that a layer reads: merges want one size; others, as `NearestResizing`, give the finer one's."""
    resizes = isinstance(layer, layers.Layer) and not isinstance(layer, (*_MERGES, *_ARITHMETIC))
    return min(strides) if resizes else max(strides)


def _own_stride(call: Call) -> float:
    layer = call.layer
    if isinstance(layer, layers.Reshape):  # with as many pixels more as it has channels less
        before, after = call.inputs[0].shape[1:], call.outputs[0].shape[1:]
        return before[0] / after[0] if len(before) == 3 and None not in (before[0], after[0]) else 1
    if isinstance(layer, layers.UpSampling2D):
        return 1 / max(layer.size)
    if isinstance(layer, layers.Conv2DTranspose):
        return 1 / max(layer.strides)
    return max(layer.strides) if isinstance(layer, _STRIDED) else 1
