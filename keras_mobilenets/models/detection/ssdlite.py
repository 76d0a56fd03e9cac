"""SSDLite (MobileNetV2, arXiv:1801.04381, section 6.2): a detector of boxes on any network of the package.

SSD (arXiv:1512.02325) with every standard convolution of the head made a depthwise separable one. The first map is
taken inside the block that goes to stride 32, after its expansion; the extra maps are those of the authors' code.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_mobilenets import blocks
from keras_mobilenets.errors import UserError
from keras_mobilenets.graphs.feature_maps import features
from keras_mobilenets.models.builder import IMAGE
from keras_mobilenets.models.detection.anchors import SHAPES
from keras_mobilenets.models.mobilenets.mobilenet_v2 import MobileNetV2
from keras_mobilenets.models.mobilenets.mobilenet_v3 import MobileNetV3Large, MobileNetV3Small

EXTRA_FILTERS = (512, 256, 256, 128)  # of the maps behind the network's last, each half the size of the one before
ANCHORS = (3, 6, 6, 6, 6, 6)  # boxes at each position, map by map
PRIOR = 0.01  # what an untrained detector thinks of the chance that an anchor holds an object (arXiv:1708.02002)
DEFAULT_SIZE = 320
OUTPUT = "detections"


def ssdlite(backbone: keras.Model, classes: int = 80, anchors: Sequence[int] = ANCHORS) -> keras.Model:
    """Puts an SSDLite head on a network: `ssdlite(km.MobileNetV2((320, 320, 3), include_top=False))`.

    Args:
        backbone: What a builder returned for a fixed input size, without the classifier.
        classes: Object classes; one more, the background, stands before them (COCO: 80).
        anchors: At each position, map by map: 3 or 6 of each of six maps.

    Returns:
        A model from images in [−1, 1] to {"boxes": (batch, anchors, 4) offsets, "scores": (batch, anchors, 1 + classes)
        logits}. Anchors run map by map, from the finest, row by row, as SSD's matching and decoding expect them.

    Raises:
        UserError: The network has no taps at strides 16 and 32, or takes images of any size; or the anchors are others.
    """
    if not isinstance(backbone, keras.Model):
        raise UserError(f"{backbone!r} is no network; give one, such as km.MobileNetV2(..., include_top=False)")
    if len(anchors) != len(EXTRA_FILTERS) + 2 or not set(anchors) <= SHAPES.keys():
        raise UserError(f"anchors={tuple(anchors)}: give {len(EXTRA_FILTERS) + 2} numbers, each 3 or 6")
    taps = features(backbone, expanded=True)
    maps = taps.output
    if not {"stride_16", "stride_32"} <= set(maps):
        raise UserError(f"{backbone.name} has no feature maps at strides 16 and 32, which SSDLite needs")
    if None in maps["stride_16"].shape[1:3]:
        raise UserError(f"{backbone.name} takes images of any size, and a detector one: build it with an input_shape")
    if isinstance(classes, bool) or not isinstance(classes, int) or classes < 1:
        raise UserError(f"classes={classes!r}: give a whole number of classes, 1 or more")
    pyramid = [maps["stride_16"], maps["stride_32"]]
    for index, filters in enumerate(EXTRA_FILTERS):
        x = blocks.conv_bn(pyramid[-1], filters // 2, 1, name=f"extra_{index}_reduce")
        pyramid.append(blocks.depthwise_separable(x, filters, strides=2, name=f"extra_{index}"))
    outputs = {
        kind: layers.Concatenate(axis=1, name=kind)(
            [
                _predict(x, count, values, f"{kind}_{i}")
                for i, (x, count) in enumerate(zip(pyramid, anchors, strict=True))
            ]
        )
        for kind, values in (("boxes", 4), ("scores", 1 + classes))
    }
    return keras.Model(taps.input, outputs, name=f"{backbone.name}_ssdlite")


def SSDLite(
    backbone: keras.Model, classes: int = 80, anchors: Sequence[int] = ANCHORS, *, name: str | None = None
) -> keras.Model:
    """An SSDLite detector as `training.fit` and `tflite.convert` take it: both answers in one output.

    Args:
        backbone: What a builder returned for a fixed input size, without the classifier.
        classes: Object classes (COCO: 80).
        anchors: At each position, map by map: 3 or 6 of each of six maps.
        name: Of the model.

    Returns:
        A model from images in [−1, 1] to (batch, anchors, 4 + 1 + classes): the offsets of a box from its anchor, then
        the logits of the background and of the classes.

    Raises:
        UserError: As `ssdlite`.
    """
    split = ssdlite(backbone, classes, anchors)
    both = layers.Concatenate(axis=-1, name=OUTPUT)([split.output["boxes"], split.output["scores"]])
    return keras.Model(split.input, both, name=name or split.name)


def _predict(x: Any, anchors: int, values: int, name: str) -> Any:
    """`values` numbers for each of the anchors at each position: (batch, positions · anchors, values)."""
    x = blocks.depthwise_bn(x, name=f"{name}_depthwise")
    head = layers.Conv2D(anchors * values, 1, name=name)
    x = head(x)
    if values != 4:
        prior = np.zeros((anchors, values), np.float32)
        prior[:, 0] = np.log((1 - PRIOR) / PRIOR * (values - 1))
        head.bias.assign(prior.reshape(-1))
    return layers.Reshape((-1, values), name=f"{name}_rows")(x)


def _detector(
    backbone: Callable[..., keras.Model], anchors: Sequence[int] = ANCHORS, **own: Any
) -> Callable[[Callable[..., Any]], Any]:
    """Makes a named builder of a detector on a backbone, from a function that has its name and its docstring."""

    def decorate(described: Callable[..., Any]) -> Any:
        def build(
            input_shape: tuple[int | None, int | None, int] | None = None,
            alpha: float = 1.0,
            *,
            classes: int = 80,
            weights: Any = None,
            name: str | None = None,
        ) -> keras.Model:
            IMAGE.input(input_shape, DEFAULT_SIZE, {})  # refuses what is no shape of an image
            shape = input_shape or (DEFAULT_SIZE, DEFAULT_SIZE, 3)
            network = backbone(shape, alpha, include_top=False, **own)
            of_width = "" if alpha == 1 else f"_{alpha:g}"
            model = SSDLite(network, classes, anchors, name=name or f"{described.__name__.lower()}{of_width}")
            model.variant = (described.__name__, {"alpha": alpha})
            if weights is not None:
                from keras_mobilenets.weights.keras_files import load_weights

                load_weights(model, weights)
            return model

        build.__name__ = build.__qualname__ = described.__name__
        build.__module__ = described.__module__
        build.__doc__ = (described.__doc__ or "") + _ARGUMENTS
        build.__signature__ = inspect.signature(build)  # type: ignore[attr-defined]
        build.any_size, build.width, build.default_size = False, "alpha", DEFAULT_SIZE  # type: ignore[attr-defined]
        build.kind, build.frames = "image", None  # type: ignore[attr-defined]
        build.task, build.unit = "detection", "px"  # type: ignore[attr-defined]
        return build

    return decorate


_ARGUMENTS = """

    Args:
        input_shape: (height, width, 3). Default: 320×320.
        alpha: Width multiplier on the channels of the backbone.
        classes: Object classes, without the background.
        weights: None (random), or a file for `load_weights`.
        name: Name of the model.

    Returns:
        As `SSDLite`: images (batch, height, width, 3) in [−1, 1] to (batch, anchors, 4 + 1 + classes).

    Raises:
        UserError: An argument is out of its range.
"""


@_detector(MobileNetV2)
def SSDLiteMobileNetV2() -> None:
    """Builds SSDLite on MobileNetV2 (arXiv:1801.04381, table 6)."""


@_detector(MobileNetV3Large, anchors=(6,) * 6, reduced_tail=True)
def SSDLiteMobileNetV3Large() -> None:
    """Builds SSDLite on MobileNetV3-Large with half the channels in its last blocks (arXiv:1905.02244, section 6.3)."""


@_detector(MobileNetV3Small, anchors=(6,) * 6, reduced_tail=True)
def SSDLiteMobileNetV3Small() -> None:
    """Builds SSDLite on MobileNetV3-Small with half the channels in its last blocks (arXiv:1905.02244, section 6.3)."""
