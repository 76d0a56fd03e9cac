"""Parallel linear branches as one layer: what a network that was trained with branches computes when it runs.

Structural reparameterization: Ding et al. 2021, arXiv:2101.03697 (RepVGG), section 3.3; Vasu et al. 2022,
arXiv:2206.04040 (MobileOne), section 3.2.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
from keras import layers

from keras_mobilenets.graphs.flat_model import Call, calls, flat_model
from keras_mobilenets.graphs.linear_layers import Linear, apply, has_layer, identity, linear_of, normalization, summed


def reparameterized(model: Any) -> keras.Model:
    """Makes one convolution or dense layer of every sum or difference of parallel linear branches.

    Branches are convolutions of any kernel, stride, dilation, groups and padding, depthwise ones, dense layers, batch
    normalizations and the identity, each with batch normalization behind it or not; a normalization of the sum goes in
    too. They are found by the graph, whatever the layers are called. A sum stays as it is where one layer would have
    more multiply-adds than its branches, where a branch is read or called elsewhere too, and where an open input size
    decides on the place of a kernel (padding "same" at stride 2, kernels of several sizes).

    Args:
        model: Trained Keras 3 model, as for `flat_model`; it is left as it is.

    Returns:
        A functional model of new layers, with the same outputs in inference up to rounding. What stands for a sum is
        called as the sum was. It trains, and is pruned and quantized, as any other. Where there is nothing to fold, the
        model itself.

    Raises:
        UserError: The model was never built, or its graph cannot be seen.
    """
    flat = flat_model(model)
    folds = _folds(flat)
    return _rebuilt(flat, folds) if folds else model


@dataclass(frozen=True)
class _Fold:
    """What one layer stands for.

    Attributes:
        source: The tensor that all branches read.
        linear: What is computed of it.
        name: Of the layer.
        others: Summands that are computed of something else.
        sum_name: What the sum with those is called.
    """

    source: Any
    linear: Linear
    name: str
    others: tuple[Any, ...] = ()
    sum_name: str = ""


def _folds(model: keras.Model) -> dict[int, _Fold]:
    """By the id of the tensor that is replaced."""
    graph = _Graph(model)
    for call in graph.calls:
        if type(call.layer) in (layers.Add, layers.Average, layers.Subtract):
            fold = graph.fold(call)
            if fold is not None:
                graph.folds[id(call.outputs[0])] = fold
        elif call.inputs and id(call.inputs[0]) in graph.folds:
            graph.take_in(call)
    return graph.folds


class _Graph:
    """A model's calls, who makes and reads each tensor, and the sums found so far."""

    def __init__(self, model: keras.Model):
        self.calls = calls(model)
        self.folds: dict[int, _Fold] = {}
        self._makers = {id(x): call for call in self.calls for x in call.outputs}
        self._readers = Counter(id(x) for call in self.calls for x in call.inputs)
        self._readers.update(id(x) for x in model.outputs)
        self._times = Counter(id(call.layer) for call in self.calls)

    def take_in(self, call: Call) -> None:
        """Lets a layer go with the batch normalization behind it."""
        before = call.inputs[0]
        fold, affine = self.folds[id(before)], normalization(call.layer)
        if affine is not None and not fold.others and self._is_alone(call) and self._readers[id(before)] == 1:
            del self.folds[id(before)]
            self.folds[id(call.outputs[0])] = replace(fold, linear=fold.linear.scaled(*affine))

    def fold(self, call: Call) -> _Fold | None:
        """The branches of a sum that have one source, as many as there are; None where no two have."""
        paths = [self._path(x) for x in call.inputs]
        is_mean, is_difference = (type(call.layer) is kind for kind in (layers.Average, layers.Subtract))
        best: _Fold | None = None
        for source in {id(source): source for path in paths for source, _ in path}.values():
            parts = [next((linear for tensor, linear in path if tensor is source), None) for path in paths]
            inside = [part for part in parts if part is not None]
            others = tuple(x for x, part in zip(call.inputs, parts, strict=True) if part is None)
            if len(inside) < 2 or (is_mean and others) or (best and len(best.others) <= len(others)):
                continue
            if is_difference:
                inside[1] = inside[1].scaled(-1)
            linear = self._sum(inside, source, call.outputs[0])
            if linear is None:
                continue
            linear = linear.scaled(1 / len(inside)) if is_mean else linear
            name = self._name(call.inputs, parts) if others else call.layer.name
            best = _Fold(source, linear, name, others, call.layer.name)
        return best

    def _sum(self, parts: Sequence[Linear], source: Any, result: Any) -> Linear | None:
        image, places = source.shape[1:3], result.shape[1:3]
        if len(result.shape) != 4:
            return summed(parts)
        if None not in image:
            parts = [part.at_size(image, places) for part in parts]
        linear = summed(parts)
        return linear if linear is not None and has_layer(linear, image, places) else None

    def _name(self, tensors: Sequence[Any], parts: Sequence[Linear | None]) -> str:
        """That of the first convolution, where the sum keeps its own."""
        tensor = next(x for x, part in zip(tensors, parts, strict=True) if part is not None and not part.is_diagonal)
        while id(tensor) not in self.folds and linear_of(self._makers[id(tensor)]) is None:
            tensor = self._makers[id(tensor)].inputs[0]
        fold = self.folds.get(id(tensor))
        return fold.name if fold else self._makers[id(tensor)].layer.name

    def _path(self, tensor: Any) -> list[tuple[Any, Linear]]:
        """The tensors of which one linear layer and normalizations give a tensor, the nearest first."""
        linear = identity(tensor.shape[-1])
        path = [(tensor, linear)]
        while self._readers[id(tensor)] == 1 and id(tensor) in self._makers:
            call, fold = self._makers[id(tensor)], self.folds.get(id(tensor))
            affine = normalization(call.layer)
            diagonal = linear.kernel[0, 0, 0]
            if fold is not None:
                if fold.others or not linear.is_channelwise:
                    break
                linear, tensor = fold.linear.scaled(diagonal, linear.bias), fold.source
            elif not self._is_alone(call):
                break
            elif affine is not None and not linear.is_padded:
                linear, tensor = linear.of_scaled(*affine), call.inputs[0]
            elif type(call.layer) is layers.ZeroPadding2D and not linear.is_diagonal and linear.before is not None:
                linear, tensor = linear.behind_padding(call.layer.padding), call.inputs[0]
            elif linear.is_channelwise and (inner := linear_of(call)) is not None:
                linear, tensor = inner.scaled(diagonal, linear.bias), call.inputs[0]
            else:
                break
            path.append((tensor, linear))
        return path

    def _is_alone(self, call: Call) -> bool:
        """Whether a layer can be taken out: it is called here only, and its channels are the last axis."""
        axis = getattr(call.layer, "axis", -1)
        return self._times[id(call.layer)] == 1 and axis in (-1, len(call.outputs[0].shape) - 1)


def _rebuilt(model: keras.Model, folds: dict[int, _Fold]) -> keras.Model:
    """The model with one new layer for each fold, and copies of the other layers that it needs."""
    inputs = [keras.Input(batch_shape=x.shape, dtype=x.dtype, name=x.name) for x in model.inputs]
    tensors = {id(old): new for old, new in zip(model.inputs, inputs, strict=True)}
    needed = _needed(model, folds)
    copies: dict[int, Any] = {}
    for call in calls(model):
        output = id(call.outputs[0])
        if not needed.intersection(id(x) for x in call.outputs):
            continue
        fold = folds.get(output)
        if fold is not None:
            x = apply(fold.linear, tensors[id(fold.source)], fold.name)
            others = [tensors[id(other)] for other in fold.others]
            tensors[output] = layers.Add(name=fold.sum_name)([x, *others]) if others else x
            continue
        results = keras.tree.flatten(_call_copy(call, copies, tensors))
        tensors |= {id(old): new for old, new in zip(call.outputs, results, strict=True)}
    outputs = keras.tree.map_structure(lambda x: tensors[id(x)], model._outputs_struct)
    return keras.Model(keras.tree.pack_sequence_as(model._inputs_struct, inputs), outputs, name=model.name)


def _needed(model: keras.Model, folds: dict[int, _Fold]) -> set[int]:
    """The ids of the tensors that the outputs depend on when the folds are made."""
    makers = {id(x): call for call in calls(model) for x in call.outputs}
    found: set[int] = set()
    waiting = [id(x) for x in model.outputs]
    while waiting:
        key = waiting.pop()
        if key in makers and key not in found:
            found.add(key)
            fold = folds.get(key)
            waiting += [id(x) for x in ([fold.source, *fold.others] if fold else makers[key].inputs)]
    return found


def _call_copy(call: Call, copies: dict[int, Any], tensors: dict[int, Any]) -> Any:
    """Calls a layer of the same weights; an operation on tensors, which has none, is called itself."""
    layer = call.layer
    args, kwargs = keras.tree.map_structure(lambda x: tensors.get(id(x), x), (tuple(call.args), dict(call.kwargs)))
    if not isinstance(layer, layers.Layer):
        return layer(*args, **kwargs)
    if id(layer) in copies:
        return copies[id(layer)](*args, **kwargs)
    copy = copies[id(layer)] = type(layer).from_config(layer.get_config())
    result = copy(*args, **kwargs)
    copy.set_weights(layer.get_weights())
    copy.trainable = layer.trainable
    return result
