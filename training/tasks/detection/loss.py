"""The loss of a detector: focal loss of the classes (arXiv:1708.02002, section 3), smooth L1 of the offsets."""

from typing import Any

from keras import ops

GAMMA = 2.0  # the higher, the less an anchor counts that is answered well
OBJECT, BACKGROUND = 0.75, 0.25  # weights of anchors


def detection_loss(targets: Any, outputs: Any, weights: Any = None, smoothing: float = 0.0) -> Any:
    """The loss of each image, in units of one matched anchor.

    Args:
        targets: N×A×5, as `matching.targets`.
        outputs: N×A×(4 + 1 + classes), as `SSDLite`.
        weights: Of the classes; None where they count alike.
        smoothing: Label smoothing, 0 to below 1, of the cross-entropy; the focal factor goes by the label itself, as in
            EfficientDet (arXiv:1911.09070).

    Returns:
        N numbers.
    """
    labels = ops.cast(targets[..., 4], "int32")
    is_object = ops.cast(labels > 0, "float32")
    likelihood = ops.log_softmax(outputs[..., 4:])
    hit = ops.sum(likelihood * ops.one_hot(ops.maximum(labels, 0), outputs.shape[-1] - 4), axis=-1)
    smoothed = (1 - smoothing) * hit + smoothing * ops.mean(likelihood, axis=-1)
    of_class = 1.0 if weights is None else ops.take(ops.convert_to_tensor(weights), ops.maximum(labels - 1, 0))
    weight = ops.where(labels > 0, OBJECT * of_class, ops.where(labels < 0, 0.0, BACKGROUND))
    focal = -weight * (1.0 - ops.exp(hit)) ** GAMMA * smoothed
    distance = ops.abs(targets[..., :4] - outputs[..., :4])
    smooth = ops.sum(ops.where(distance < 1.0, 0.5 * distance**2, distance - 0.5), axis=-1)
    count = ops.maximum(ops.sum(is_object, axis=-1), 1.0)
    return (ops.sum(focal, axis=-1) + ops.sum(is_object * smooth, axis=-1)) / count
