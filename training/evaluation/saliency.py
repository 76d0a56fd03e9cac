"""Grad-CAM: heatmaps of the regions that support a class (Selvaraju et al. 2017, arXiv:1610.02391, section 3)."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_mobilenets.errors import UserError, unknown
from keras_mobilenets.graphs.flat_model import Call, calls
from keras_mobilenets.pixels.batches import check_images, to_input
from keras_mobilenets.pixels.preprocessing_layers import scaling_of
from keras_mobilenets.training.introspection import gives_logits, library_of, without_nesting

BATCH = 32
STRONGEST = 0.7  # opacity of the heatmap where it is 1
# Smallest side of a useful feature map. On `shapes` at 64 px (MobileNetV2-0.5, 60 images), the correlation of
# heat and occlusion sensitivity (8×8 patches) is 0.23 with the last 4×4 map and −0.01 with the last one, of 2×2.
SMALLEST_MAP = 4


def grad_cam(
    model: Any,
    images: Any,
    classes: int | Sequence[int] | np.ndarray | None = None,
    layer: str | None = None,
    pixels: Any = None,
) -> np.ndarray:
    """Computes Grad-CAM heatmaps: where each image supports a class.

    The channels of a feature map are summed, weighted by the mean gradient of the class's logit over the map (equation
    1); the ReLU of the sum (equation 2) is resized to the image.

    Args:
        model: A Keras 3 model (on TensorFlow or JAX) or a tf_keras model that gives one probability or logit for each
            class.
        images: N×H×W×C: uint8 pixels, or floats scaled as the model wants them.
        classes: A class index for all images, or one for each. Default: the predicted class.
        layer: Name of the layer that gives the feature map, which may be in a model inside the model. Default: the last
            one of 4×4 or larger, or else larger than 1×1. No skip connection may bypass it; the last layers of blocks
            are suitable.
        pixels: What the model's input means, as in `tflite.convert`; by default the model says it.

    Returns:
        float32 N×H×W in [0, 1]: 1 where an image supports the class most; all 0 where nothing does.

    Raises:
        UserError: The images do not fit the model, there is no such class or layer, or no feature map.
    """
    model = without_nesting(model)
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise UserError(
            f"{model.name} has {len(model.inputs)} inputs and {len(model.outputs)} outputs; Grad-CAM needs one of each"
        )
    if len(model.input_shape) != 4:
        raise UserError(f"{model.name} takes no image: Grad-CAM shows where in an image it looks")
    images = np.asarray(images)
    if images.ndim != 4 or not len(images):
        raise UserError(f"images have shape {images.shape}; give N×height×width×channels")
    wanted = [have or given for have, given in zip(model.input_shape[1:], images.shape[1:], strict=True)]
    check_images(images, (1, *wanted), "the model")
    count, chosen = model.output_shape[-1], None
    if classes is not None:
        chosen = np.broadcast_to(np.asarray(classes), len(images)) if np.ndim(classes) == 0 else np.asarray(classes)
        if chosen.shape != (len(images),) or chosen.dtype.kind not in "iu":
            raise UserError(f"classes are {chosen.dtype} {chosen.shape}; give one class number, or one for each image")
        if not 0 <= chosen.min() <= chosen.max() < count:
            raise UserError(f"classes {chosen.min()} to {chosen.max()} are given; the model has 0 to {count - 1}")
    maps_of, scores_of, gradient = _parts(model, layer)
    values = to_input(images, scaling_of(model, pixels, images), model=model.name)
    heat = []
    for start in range(0, len(images), BATCH):
        some = slice(start, start + BATCH)
        maps = maps_of(values[some])
        numbers = np.asarray(scores_of(maps)).argmax(axis=1) if chosen is None else chosen[some]
        weights = gradient(maps, np.eye(count, dtype=np.float32)[numbers]).mean(axis=(1, 2), keepdims=True)
        heat += [_upsample(one, images.shape[1:3]) for one in (weights * np.asarray(maps, np.float32)).sum(axis=-1)]
    return np.stack(heat)


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Overlays a heatmap on an image.

    Args:
        image: uint8 H×W×3.
        heat: H×W, uint8 or floats in [0, 1].

    Returns:
        uint8 H×W×3: the image, with the colour map "plasma" where the heatmap is above 0.
    """
    from matplotlib import colormaps

    heat = heat / np.float32(255) if heat.dtype == np.uint8 else heat
    colours = 255 * colormaps["plasma"](heat)[..., :3]
    share = STRONGEST * heat[..., None]
    return np.rint((1 - share) * image + share * colours).astype(np.uint8)


def _parts(model: Any, layer: str | None) -> tuple[Callable, Callable, Callable]:
    """Functions from images to feature maps, from these to logits, and from maps and weights of logits to gradients."""
    library = library_of(model)
    in_tensorflow = library.__name__ == "tf_keras" or library.backend.backend() == "tensorflow"
    if not in_tensorflow and library.backend.backend() != "jax":
        raise UserError(f"Grad-CAM needs TensorFlow or JAX under Keras, not {library.backend.backend()}")
    parts = _calls(model)
    end, kernel, bias = _before_softmax(model, parts)
    tensor, head = _cut(model, parts, library, end, layer)
    body = library.Model(model.inputs[0], tensor)

    def maps_of(images: np.ndarray) -> Any:
        if in_tensorflow:
            return body(images, training=False)
        return body.predict_on_batch(images)  # JAX compiles it as a whole, not operation by operation

    def scores_of(maps: Any) -> Any:
        x = _float32(head(maps, training=False), in_tensorflow)
        return x if kernel is None else x @ kernel + bias

    def gradient(maps: Any, weights: np.ndarray) -> np.ndarray:
        if in_tensorflow:
            import tensorflow as tf

            with tf.GradientTape() as tape:
                tape.watch(maps)
                score = tf.reduce_sum(scores_of(maps) * weights)
            return np.asarray(tape.gradient(score, maps), np.float32)
        import jax

        return np.asarray(jax.grad(lambda x: (scores_of(x) * weights).sum())(maps), np.float32)

    return maps_of, scores_of, gradient


def _float32(tensor: Any, in_tensorflow: bool) -> Any:
    if not in_tensorflow:
        return tensor.astype("float32")
    import tensorflow as tf

    return tf.cast(tensor, tf.float32)


def _calls(model: Any) -> list[Call]:
    if library_of(model).__name__ == "keras":
        return calls(model)
    layers = [layer for layer in model.layers if type(layer).__name__ != "InputLayer"]
    nested = [layer.name for layer in layers if hasattr(layer, "layers")]
    if nested:
        raise UserError(f"{model.name} has the model {nested[0]} inside it: give training.to_keras(model)")
    return [Call(layer, _tensors(layer.input), _tensors(layer.output), (), {}) for layer in layers]


def _tensors(structure: Any) -> list[Any]:
    return list(structure) if isinstance(structure, list | tuple) else [structure]


def _before_softmax(model: Any, parts: list[Call]) -> tuple[Any, Any, Any]:
    """The input of the last Dense layer, its kernel and bias; the logits, None and None where there is no softmax."""
    if gives_logits(model):
        return model.outputs[0], None, None
    layer, (source, *_), *_ = next(call for call in parts if call.outputs[0] is model.outputs[0])
    given = getattr(layer, "weights", [])
    weights = {weight.name.split("/")[-1].split(":")[0]: np.asarray(weight, np.float32) for weight in given}
    if not weights:  # a separate Softmax or Activation
        return source, None, None
    kernel = weights.get("kernel", np.empty(0))
    if kernel.ndim != 2:
        raise UserError(f"{model.name} ends in {layer.name}, whose logits cannot be told; end it in a Dense layer")
    return source, kernel, weights.get("bias", np.zeros(kernel.shape[1], np.float32))


def _cut(model: Any, parts: list[Call], library: Any, end: Any, name: str | None) -> tuple[Any, Any]:
    """The feature map, and the model from there to `end`."""
    outputs = {call.layer.name: call.outputs[0] for call in parts if len(call.outputs) == 1}
    sides = {name: _sides(tensor) for name, tensor in outputs.items()}
    maps = [name for name, found in sides.items() if found]
    large = [name for name in maps if min(sides[name]) >= SMALLEST_MAP]
    if name is not None and name not in maps:
        if name in sides:
            last = f"; the last that does is {maps[-1]!r}" if maps else ""
            raise UserError(f"layer {name!r} gives no feature map larger than 1×1{last}")
        raise unknown("layer", name, maps, "model.summary()")
    for candidate in [name] if name else [*reversed(large), *reversed(maps)]:
        tensor = outputs[candidate]
        try:
            return tensor, library.Model(tensor, end)
        except ValueError:  # a skip connection bypasses it
            continue
    if name:
        raise UserError(f"a skip connection bypasses layer {name!r}; choose the last layer of a block")
    raise UserError(f"{model.name} has no feature map larger than 1×1 in front of its classifier: nothing to show")


def _sides(tensor: Any) -> list[float]:
    """Height and width of a feature map, infinite where unknown; empty where a tensor is none."""
    sides = [math.inf if side is None else side for side in tensor.shape[1:3]] if len(tensor.shape) == 4 else []
    return sides if min(sides, default=0) > 1 else []


def _upsample(evidence: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """The ReLU of a map, resized bilinearly to height and width, with maximum 1."""
    from PIL import Image

    positive = Image.fromarray(np.maximum(evidence, 0))
    heat = np.asarray(positive.resize((shape[1], shape[0]), Image.Resampling.BILINEAR))
    return heat / (heat.max() or 1.0)
