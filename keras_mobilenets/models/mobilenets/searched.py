"""A network of inverted residuals by its specification, such as an architecture search writes it.

The field's name for the columns: Sandler et al. 2018, arXiv:1801.04381, table 2; for squeeze-and-excite and h-swish:
Howard et al. 2019, arXiv:1905.02244, section 5.
"""

import functools
from collections.abc import Callable
from functools import partial
from typing import Any

import keras

from keras_mobilenets import blocks
from keras_mobilenets.blocks import make_divisible
from keras_mobilenets.models.builder import builder
from keras_mobilenets.models.mobilenets import mobilenet_v2
from keras_mobilenets.models.mobilenets.spec import Spec, Stage, read_spec


def mobilenet_v2_spec(alpha: float = 1.0, input_size: int = 224) -> Spec:
    """MobileNetV2 as a specification: the same layers, weights and names.

    Args:
        alpha: Width multiplier.
        input_size: Side of the image in pixels.
    """
    rows = tuple(Stage(c, n, s, t) for t, c, n, s in mobilenet_v2.TABLE)
    full = Spec(rows, input_size, mobilenet_v2.STEM_FILTERS, mobilenet_v2.HEAD_FILTERS)
    return full.scaled(alpha)


def excited_channels(expanded: int) -> int:
    """Channels inside a block's squeeze-and-excite (MobileNetV3, section 5.3).

    Args:
        expanded: Channels of its depthwise convolution.
    """
    return make_divisible(expanded / 4)


def _reads_spec(build: Callable[..., keras.Model]) -> Callable[..., keras.Model]:
    """The builder for a spec that is given as a file too; its name and its default input size are the spec's."""

    @functools.wraps(build)
    def opened(*args: Any, **kwargs: Any) -> keras.Model:
        spec = mobilenet_v2_spec() if kwargs.get("spec") is None else read_spec(kwargs["spec"])
        shape = args[0] if args else kwargs.pop("input_shape", None)
        if shape is None and kwargs.get("include_top", True):
            shape = (spec.input_size, spec.input_size, 3)
        name = kwargs.get("name") or f"searched_{spec.digest()}"
        return build(shape, *args[1:], **kwargs | {"spec": spec, "name": name})

    return opened


@_reads_spec
@builder(dropout_rate=0.2)
def Searched(x: Any, *, stem_strides: int, alpha: float = 1.0, spec: Any = None) -> Any:
    """Builds the network of a specification, such as `keras-mobilenets search` finds it.

    Args:
        spec: A JSON file, the mapping that it holds, or a `Spec`; its input size stands for an input_shape that is not
            given. Default: MobileNetV2's table.
    """
    network = spec.scaled(alpha)
    x = blocks.conv_bn(x, network.stem_filters, strides=stem_strides, activation=network.activation, name="stem")
    index = 0
    for stage in network.stages:
        for repeat in range(stage.repeats):
            x = _block(x, stage, stage.strides if repeat == 0 else 1, f"block_{index}")
            index += 1
    return blocks.conv_bn(x, network.head_filters, 1, activation=network.activation, name="head")


def _block(x: Any, stage: Stage, strides: int, name: str) -> Any:
    expanded = round(stage.expansion * x.shape[-1])
    excite = partial(blocks.squeeze_excite, reduced=excited_channels(expanded)) if stage.excite else None
    return blocks.inverted_residual(
        x,
        stage.filters,
        stage.expansion,
        kernel_size=stage.kernel_size,
        strides=strides,
        activation=stage.activation,
        excite=excite,
        name=name,
    )
