"""What depthwise separable convolutions save, computed: of one layer, of a network's parts, of its blocks.

The share 1/N + 1/D_K² is derived in MobileNetV1 (arXiv:1704.04861), section 3.1.
"""

from collections import defaultdict
from dataclasses import dataclass

import keras

from keras_mobilenets.costs.model_cost import Cost, cost
from keras_mobilenets.graphs.flat_model import calls, flat_model


@dataclass(frozen=True)
class Comparison:
    """A depthwise separable convolution and the standard convolution in its place, at one position of the image.

    The weights (without biases and batch normalization) are also the multiply-adds of one position.

    Attributes:
        inputs: Input channels (the paper's M).
        filters: Output channels (the paper's N).
        kernel_size: Side of the kernel (the paper's D_K).
        depth_multiplier: Depthwise filters per input channel.
        axes: Of the kernel: 3 of one over time too.
    """

    inputs: int
    filters: int
    kernel_size: int = 3
    depth_multiplier: int = 1
    axes: int = 2

    @property
    def places(self) -> int:
        """Of the kernel."""
        return self.kernel_size**self.axes

    @property
    def standard(self) -> int:
        """Weights of the standard convolution."""
        return self.places * self.inputs * self.filters

    @property
    def separable(self) -> int:
        """Weights of the depthwise and the pointwise convolution."""
        return self.depth_multiplier * self.inputs * (self.places + self.filters)

    @property
    def share(self) -> float:
        """Separable over standard: 1/N + 1/D_K², times the depth multiplier."""
        return self.separable / self.standard

    def inverted_residual(self, expansion: float) -> int:
        """Weights of an inverted residual between as many input and output channels (MobileNetV2, table 1)."""
        hidden = int(expansion * self.inputs)
        return hidden * ((self.inputs if expansion != 1 else 0) + self.places + self.filters)

    def __str__(self) -> str:
        kernel = "×".join([str(self.kernel_size)] * self.axes)
        return (
            f"{self.inputs}→{self.filters}, {kernel}: standard {self.standard:,} weights, "
            f"separable {self.separable:,} ({self.share:.1%}, {1 - self.share:.0%} fewer)"
        )


def shares(of: Cost) -> dict[str, tuple[float, float]]:
    """How a network's multiply-adds and parameters divide among kinds of layers.

    Args:
        of: What `cost` returned.

    Returns:
        {kind: (share of the multiply-adds, share of the weights)}, largest first; batch normalization is left out, as
        in MobileNetV1's table 2.
    """
    macs: dict[str, int] = defaultdict(int)
    weights: dict[str, int] = defaultdict(int)
    for layer in of.layers:
        if layer.macs:
            kind = layer.kind.split(" /")[0]
            macs[kind] += layer.macs
            weights[kind] += layer.parameters
    total_macs, total_weights = sum(macs.values()) or 1, sum(weights.values()) or 1
    ordered = sorted(macs, key=lambda kind: -macs[kind])
    return {kind: (macs[kind] / total_macs, weights[kind] / total_weights) for kind in ordered}


def compare(model: keras.Model) -> str:
    """Describes what a network's separable convolutions save: a text for the terminal.

    Args:
        model: A Keras model of a fixed input size.

    Returns:
        The totals beside standard convolutions, the shares of the kinds of layers, and a line for each separable
        convolution: its share of the standard one, and for an inverted residual whether one standard convolution
        between the same bottlenecks would be cheaper (it is when channels are few or the expansion is large).
    """
    flat = flat_model(model)
    counted = cost(flat)
    lines = [counted.summary(), "", f"{'kind':28} {'multiply-adds':>14} {'parameters':>11}"]
    lines += [f"{kind:28} {macs:14.1%} {weights:11.1%}" for kind, (macs, weights) in shares(counted).items()]
    title = f"{'separable convolution':26} {'channels':>12} {'of standard':>12}  one standard convolution for the block"
    lines += ["", title]
    by_name = {layer.name: layer for layer in counted.layers}
    for layer in counted.layers:
        if layer.pointwise is None:
            continue
        pointwise = by_name[layer.pointwise]
        over_time = by_name[layer.temporal].macs if layer.temporal else 0
        share = (layer.macs + over_time + pointwise.macs) / layer.standard_macs
        channels = f"{layer.output_shape[-1]}→{pointwise.output_shape[-1]}"
        instead = _instead(flat, layer.name, pointwise.output_shape[-1])
        lines.append(f"{layer.name:26} {channels:>12} {share:12.1%}  {instead}".rstrip())
    return "\n".join(lines)


def _instead(model: keras.Model, depthwise: str, filters: int) -> str:
    """What one standard convolution in place of a whole inverted residual would cost; "" around other blocks."""
    expand = depthwise.replace("_depthwise", "_expand")
    if expand == depthwise or expand not in {layer.name for layer in model.layers}:
        return ""
    inputs, hidden = next(
        (call.inputs[0].shape[-1], call.outputs[0].shape[-1]) for call in calls(model) if call.layer.name == expand
    )
    kernel = model.get_layer(depthwise).kernel_size
    between = Comparison(inputs, filters, kernel[0], axes=len(kernel))
    block, standard = between.inverted_residual(hidden / inputs), between.standard
    verdict = "cheaper" if standard < block else "dearer"
    return f"{inputs}→{filters}: {standard:,} weights for {block:,}, {verdict}"
