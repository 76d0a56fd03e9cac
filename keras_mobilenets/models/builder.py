"""What every builder does alike, so that a family's file holds nothing but its network.

A family writes the body, from the input tensor to the last feature map, and `@builder` makes of it the public function
with the signature every builder shares: input, body, pooling and classifier, weights.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import keras
from keras import layers

from keras_mobilenets.errors import UserError

SMALLEST_INPUT = 32
WIDTHS = ("alpha", "width")  # what papers call the width multiplier

_ARGUMENTS = """
    Args:
        input_shape: {size}.
{width}        include_top: Whether to end in the classifier.
        weights: None (random), "imagenet", or a file for `load_weights`.
        input_tensor: Keras tensor to build on instead of a new input{channels}.
        pooling: Without the classifier: None for the feature map, "avg" or "max" for a vector.
        classes: Number of classes.
        classifier_activation: "softmax", or None for logits.
        stem_strides: Strides of the first convolution: 2 halves its input, 1 suits small ones such as 32×32.
        dropout_rate: Dropout before the classifier.
        name: Name of the model.
{own}
    Returns:
        A functional Keras model: {takes} to (batch, classes); without the
        classifier to the feature map, or to a vector when `pooling` says so.

    Raises:
        UserError: An argument is out of its range; the message names the range.
"""
_WIDTH = "        {0}: Width multiplier on the channels of every layer.\n"


class Source(NamedTuple):
    """What the input of a family's networks is.

    Attributes:
        input: Makes the input of a shape, or of None for the default one, by the default size and the body's options.
        size: What the shape is, for the docstring; "{size}" stands for the default size.
        takes: What the network takes, likewise.
        channels: What is said of an input tensor.
        kind: Of which kind the examples are, as `training.datasets` calls one of them.
        unit: In which its first size is counted.
        frames: How many a clip has by default; None of other inputs.
    """

    input: Callable[[Any, int | None, Mapping[str, Any]], Any]
    size: str
    takes: str
    channels: str = ""
    kind: str = "image"
    unit: str = "px"
    frames: int | None = None


class Builder(Protocol):
    """A public builder: `MobileNetV2(input_shape=None, alpha=1.0, *, ...) -> keras.Model`."""

    __name__: str

    def __call__(
        self,
        input_shape: tuple[int | None, int | None, int] | None = None,
        alpha: float = 1.0,
        *,
        include_top: bool = True,
        weights: Any = None,
        input_tensor: Any = None,
        pooling: str | None = None,
        classes: int = 1000,
        classifier_activation: Any = "softmax",
        stem_strides: int = 2,
        dropout_rate: float = ...,
        name: str | None = None,
        **own: Any,
    ) -> keras.Model:
        """Builds the model."""


def builder(
    *,
    default_size: int = 224,
    dropout_rate: float = 0.2,
    stem_strides: int = 2,
    head: Callable[..., Any] | None = None,
    last: Callable[..., Any] | None = None,
    flatten: bool = False,
    classifier_bias: bool = True,
    classifier: Callable[..., Any] | None = None,
    fixed_size: bool = False,
    source: Source | None = None,
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    task: str = "classification",
) -> Callable[[Callable[..., Any]], Builder]:
    """Turns the body of a network into its public builder.

    The body is called `body(x, stem_strides=..., **own)` and returns the last feature map, or a vector, which nothing
    pools. Its own keyword arguments, with their defaults, join the shared ones; one called `alpha` or `width` is the
    width multiplier, and one called `classes` is given their number.

    Args:
        default_size: The paper's input side in pixels.
        dropout_rate: The default of the builder's argument.
        stem_strides: The default of the builder's argument.
        head: Layers between the pooled vector and the last dropout, `head(vector, dropout_rate=..., **own)`; none when
            not given.
        last: Layers that the network ends in with the classifier or without it, `last(x)` of the pooled vector, or of
            the last feature map where nothing pools it; none when not given.
        flatten: The classifier reads every position of the feature map, as before global pooling (VGG).
        classifier_bias: Whether the classifier adds a bias.
        classifier: Makes the logits, `classifier(vector, classes=..., name=...)`; one dense layer when not given.
        fixed_size: Whether the network itself must know its input size.
        source: What the networks take; images when not given.
        classes: The default of the builder's argument.
        classifier_activation: The default of the builder's argument.
        task: The `Task` whose labels the networks are for, by its name.
    """
    source = source or IMAGE

    def decorate(body: Callable[..., Any]) -> Builder:
        taken = inspect.signature(body).parameters
        own = [p for p in taken.values() if p.name not in ("x", "stem_strides", "classes")]
        defaults: dict[str, Any] = {"dropout_rate": dropout_rate, "stem_strides": stem_strides, "classes": classes}
        defaults["classifier_activation"] = classifier_activation
        signature = _signature(own, defaults)
        width = next((p.name for p in own if p.name in WIDTHS), None)

        @functools.wraps(body)
        def build(*args: Any, **kwargs: Any) -> keras.Model:
            if width and width not in kwargs:  # either word is understood
                kwargs = {width if key in WIDTHS else key: value for key, value in kwargs.items()}
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            given = bound.arguments
            options = {p.name: given[p.name] for p in own}
            _check(given)
            size = default_size if given["include_top"] or fixed_size else None
            x = inputs = _tensor(given["input_tensor"], lambda: source.input(given["input_shape"], size, options))
            if (flatten or fixed_size) and size and None in x.shape[1:3]:
                raise UserError(f"{body.__name__} must know its input size: give it, such as ({size}, {size}, 3)")
            shared = {name: given[name] for name in ("stem_strides", "classes") if name in taken}
            x = body(x, **shared, **options)
            if given["include_top"]:
                x = layers.Flatten(name="flatten")(x) if flatten else _pool(x, "avg")
                x = last(x) if last else x
                x = head(x, dropout_rate=given["dropout_rate"], **options) if head else x
                x = _classifier(x, given, classifier_bias, classifier)
            else:
                x = _pool(x, given["pooling"])
                x = last(x) if last else x
            name = given["name"] or _name(body, own, options)
            sources = keras.utils.get_source_inputs(inputs)
            model = keras.Model(sources[0] if len(sources) == 1 else sources, x, name=name)
            model.variant = (body.__name__, options)
            if given["weights"] is not None:
                from keras_mobilenets.weights.keras_files import pretrained

                model = pretrained(model, given["weights"], shared=keras.Model(sources, inputs).layers)
            return model

        build.__signature__ = signature  # type: ignore[attr-defined]
        build.any_size = not (flatten or fixed_size)  # type: ignore[attr-defined]
        build.width = width  # type: ignore[attr-defined]
        build.default_size = default_size  # type: ignore[attr-defined]
        build.__doc__ = _document(body, own, default_size, source)
        build.kind, build.frames = source.kind, source.frames  # type: ignore[attr-defined]
        build.task, build.unit = task, source.unit  # type: ignore[attr-defined]
        return build

    return decorate


def _signature(own: list[inspect.Parameter], defaults: dict[str, Any]) -> inspect.Signature:
    """The signature of `Builder`, the width multiplier as the body calls it, the body's other arguments at the end."""
    shared = inspect.signature(Builder.__call__).parameters
    parameters = []
    for parameter in shared.values():
        if parameter.name == "alpha":
            parameters += [_positional(p) for p in own if p.name in WIDTHS]
        elif parameter.name in defaults:
            parameters.append(parameter.replace(default=defaults[parameter.name]))
        elif parameter.name not in ("self", "own"):
            parameters.append(parameter)
    parameters += [p.replace(kind=p.KEYWORD_ONLY) for p in own if p.name not in WIDTHS]
    return inspect.Signature(parameters, return_annotation=keras.Model)


def _positional(parameter: inspect.Parameter) -> inspect.Parameter:
    return parameter.replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _name(body: Callable[..., Any], own: list[inspect.Parameter], options: dict[str, Any]) -> str:
    """The network and what differs from its defaults: `mobilenetv3large_0.75_minimalistic`."""
    differs = [(p.name, options[p.name]) for p in own if options[p.name] != p.default]
    return "_".join([body.__name__.lower(), *(_word(key, value) for key, value in differs)])


def _word(key: str, value: Any) -> str:
    if isinstance(value, bool):
        return key if value else f"no_{key}"
    return f"{value:g}" if isinstance(value, float) else f"{value}"


def _document(body: Callable[..., Any], own: list[inspect.Parameter], size: int, source: Source) -> str:
    """The body's docstring with the shared arguments; its own "Args:" section, if any, follows them."""
    summary, _, described = (body.__doc__ or "").partition("\n    Args:\n")
    width = "".join(_WIDTH.format(p.name) for p in own if p.name in WIDTHS)
    described = described.rstrip() + "\n"
    said = {"size": source.size.format(size=size), "takes": source.takes, "channels": source.channels}
    return summary.rstrip() + "\n" + _ARGUMENTS.format(width=width, own=described, **said)


def _check(given: dict[str, Any]) -> None:
    for multiplier in WIDTHS:
        value = given.get(multiplier, 1.0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 100:
            raise UserError(
                f"{multiplier}={value!r}: the width multiplier must be a positive number such as 0.35, 0.5 or 1.0"
            )
    classes, rate = given["classes"], given["dropout_rate"]
    if isinstance(classes, bool) or not isinstance(classes, int) or classes < 1:
        raise UserError(f"classes={classes!r}: give a whole number of classes, 1 or more")
    if given["pooling"] not in (None, "avg", "max"):
        raise UserError(f'pooling={given["pooling"]!r}: choose None, "avg" or "max"')
    if given["stem_strides"] not in (1, 2):
        raise UserError(f"stem_strides={given['stem_strides']!r}: choose 2, or 1 for small images such as 32×32")
    if not isinstance(rate, int | float) or not 0 <= rate < 1:
        raise UserError(f"dropout_rate={rate!r}: give a rate from 0 up to, but not including, 1")


def _tensor(given: Any, new: Callable[[], Any]) -> Any:
    """The tensor that is built on: the one that is given, or a new input."""
    if given is not None and not keras.backend.is_keras_tensor(given):
        raise UserError("input_tensor must be a Keras tensor, such as keras.Input(shape=(224, 224, 3))")
    return new() if given is None else given


def _image(shape: Any, default_size: int | None, options: Mapping[str, Any]) -> Any:
    if shape is None:
        shape = (default_size, default_size, 3)
    if not isinstance(shape, list | tuple) or len(shape) != 3 or not all(isinstance(n, int | None) for n in shape):
        raise UserError(f"input_shape={shape!r}: give (height, width, 3), for example (224, 224, 3)")
    if shape[2] != 3:
        raise UserError(
            f"input_shape={shape!r} has {shape[2]} channels: the models take RGB images, 3 channels "
            "(build on input_tensor= for anything else)"
        )
    if any(side is not None and side < SMALLEST_INPUT for side in shape[:2]):
        raise UserError(f"input_shape={shape!r}: height and width must be {SMALLEST_INPUT} or more")
    return keras.Input(tuple(shape), name="image")


IMAGE = Source(
    _image,
    size="(height, width, 3), 32 or more a side, odd sizes too. Default: {size}×{size} with the classifier,\n"
    "            any size without it",
    takes="float32 images (batch, height, width, 3) in [−1, 1]",
    channels=" (any number of channels)",
)


def _classifier(x: Any, given: dict[str, Any], use_bias: bool, own: Callable[..., Any] | None) -> Any:
    activation = given["classifier_activation"]
    try:
        activation = keras.activations.get(activation)
    except ValueError as error:
        raise UserError(f'classifier_activation={activation!r} is unknown: use "softmax" or None for logits') from error
    if given["dropout_rate"]:
        x = layers.Dropout(given["dropout_rate"], name="dropout")(x)
    if own is not None:
        x = own(x, classes=given["classes"], name="predictions")
        return x if activation is keras.activations.linear else layers.Activation(activation, name="scores")(x)
    return layers.Dense(given["classes"], activation=activation, use_bias=use_bias, name="predictions")(x)


def _pool(x: Any, pooling: str | None) -> Any:
    if len(x.shape) == 2:
        return x
    if pooling == "avg":
        return layers.GlobalAveragePooling2D(name="pool")(x)
    if pooling == "max":
        return layers.GlobalMaxPooling2D(name="pool")(x)
    return x
