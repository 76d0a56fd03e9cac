"""The operators of a searched network, counted from its specification alone: no model is built.

Multiply-adds, parameters and activations are those that `cost` counts of the model. A batch normalization is part of
the convolution before it, as in the converted model.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from keras_mobilenets.models.mobilenets.searched import excited_channels
from keras_mobilenets.models.mobilenets.spec import Spec, Stage

IMAGE = 3  # channels


class Operator(NamedTuple):
    """One operator of a converted network.

    Attributes:
        kind: "conv", "depthwise", "dense", "pool" (global average), "scale" (squeeze-and-excite's product), "add",
            "softmax", or an activation that no convolution has fused: "hard_silu", "silu".
        side: Height and width of its input.
        inputs: Input channels.
        outputs: Output channels.
        kernel_size: Side of the kernel.
        strides: Of the kernel.
        normalized: Whether a batch normalization is part of it; else a convolution has a bias.
    """

    kind: str
    side: int
    inputs: int
    outputs: int
    kernel_size: int = 1
    strides: int = 1
    normalized: bool = True

    @property
    def output_side(self) -> int:
        """Height and width of its output."""
        return 1 if self.kind == "pool" else -(-self.side // self.strides)

    @property
    def weights(self) -> int:
        """Elements of its kernel."""
        if self.kind == "depthwise":
            return self.kernel_size**2 * self.outputs
        return self.kernel_size**2 * self.inputs * self.outputs if self.kind in ("conv", "dense") else 0

    @property
    def macs(self) -> int:
        """Multiply-adds of one image."""
        return self.weights * self.output_side**2

    @property
    def parameters(self) -> int:
        """Trainable parameters: kernel, and gamma and beta of its batch normalization, or its bias."""
        return self.weights and self.weights + self.outputs * (1 + self.normalized)

    @property
    def activations(self) -> int:
        """Values of its output."""
        return self.output_side**2 * self.outputs


@dataclass(frozen=True)
class SpecCost:
    """What a searched network costs.

    Attributes:
        macs: Multiply-adds of one image.
        parameters: Trainable parameters.
        size_bytes: Of its int8 weights and int32 biases.
        peak_bytes: Most bytes of int8 activations alive at once, the operators run in order.
        latency_ms: On the target; None where none was asked for.
    """

    macs: int
    parameters: int
    size_bytes: int
    peak_bytes: int
    latency_ms: float | None = None


def operators(spec: Spec, classes: int = 10) -> list[Operator]:
    """The operators of a network with a classifier, in the order of execution.

    Args:
        spec: The network.
        classes: Number of classes.
    """
    found = list(stem(spec))
    side, channels = found[-1].output_side, spec.stem_filters
    for stage in spec.stages:
        found += stage_operators(stage, side, channels)
        side, channels = -(-side // stage.strides), stage.filters
    return found + list(head(spec, side, channels, classes))


def stem(spec: Spec) -> Iterator[Operator]:
    """The first convolution."""
    yield from _activated(Operator("conv", spec.input_size, IMAGE, spec.stem_filters, 3, 2), spec.activation)


def head(spec: Spec, side: int, channels: int, classes: int) -> Iterator[Operator]:
    """The last convolution on so many channels, pooling and classifier."""
    yield from _activated(Operator("conv", side, channels, spec.head_filters), spec.activation)
    yield Operator("pool", side, spec.head_filters, spec.head_filters)
    yield Operator("dense", 1, spec.head_filters, classes, normalized=False)
    yield Operator("softmax", 1, classes, classes)


def stage_operators(stage: Stage, side: int, channels: int) -> Iterator[Operator]:
    """The operators of a stage's blocks.

    Args:
        stage: The row of the specification.
        side: Height and width of what it reads.
        channels: Channels of what it reads.
    """
    for repeat in range(stage.repeats):
        strides = stage.strides if repeat == 0 else 1
        yield from _block(stage, side, channels, strides)
        side, channels = -(-side // strides), stage.filters


def _block(stage: Stage, side: int, channels: int, strides: int) -> Iterator[Operator]:
    expanded = round(stage.expansion * channels)
    if stage.expansion != 1:
        yield from _activated(Operator("conv", side, channels, expanded), stage.activation)
    depthwise = Operator("depthwise", side, expanded, expanded, stage.kernel_size, strides)
    yield from _activated(depthwise, stage.activation)
    side = depthwise.output_side
    if stage.excite:
        reduced = excited_channels(expanded)
        yield Operator("pool", side, expanded, expanded)
        yield Operator("conv", 1, expanded, reduced, normalized=False)
        yield Operator("conv", 1, reduced, expanded, normalized=False)
        yield Operator("scale", side, expanded, expanded)
    yield Operator("conv", side, expanded, stage.filters)
    if strides == 1 and channels == stage.filters:
        yield Operator("add", side, stage.filters, stage.filters)


def _activated(operator: Operator, activation: str) -> Iterator[Operator]:
    """A convolution and, where it cannot be fused, its activation."""
    yield operator
    if activation in ("hard_silu", "silu"):
        yield Operator(activation, operator.output_side, operator.outputs, operator.outputs)


def spec_cost(spec: Spec, classes: int = 10, latency_ms: float | None = None) -> SpecCost:
    """Counts what a network costs.

    Args:
        spec: The network.
        classes: Number of classes.
        latency_ms: What is known of its latency.
    """
    parts = operators(spec, classes)
    size = sum(part.weights + 4 * part.outputs for part in parts if part.weights)
    return SpecCost(macs(parts), sum(part.parameters for part in parts), size, peak_activations(spec), latency_ms)


def macs(parts: Iterable[Operator]) -> int:
    """Multiply-adds of operators."""
    return sum(part.macs for part in parts)


def peak_activations(spec: Spec) -> int:
    """Most activation values alive at once, the operators run in order, activations in place; as `Cost` has it."""
    first = next(stem(spec))
    side, channels = first.output_side, first.outputs
    steps = [IMAGE * spec.input_size**2 + first.activations]
    for stage in spec.stages:
        for repeat in range(stage.repeats):
            strides = stage.strides if repeat == 0 else 1
            steps += _alive(stage, side, channels, strides)
            side, channels = -(-side // strides), stage.filters
    return max(*steps, side**2 * (channels + spec.head_filters), (side**2 + 1) * spec.head_filters)


def _alive(stage: Stage, side: int, channels: int, strides: int) -> Iterator[int]:
    """Values alive while a block's operators run; what the block reads stays where it is added to the result."""
    expanded, smaller = round(stage.expansion * channels), -(-side // strides)
    source, inner, result = side**2 * channels, smaller**2 * expanded, smaller**2 * stage.filters
    kept = source if strides == 1 and channels == stage.filters else 0
    if stage.expansion == 1:
        yield source + inner
    else:
        yield source + side**2 * expanded
        yield kept + side**2 * expanded + inner
    if stage.excite:
        yield kept + 2 * inner + expanded
    yield kept + inner + result
    yield kept + 2 * result if kept else 0
