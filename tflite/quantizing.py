"""TensorFlow's own quantizer of float .tflite files that have ranges in them."""

from collections.abc import Sequence

from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.quiet import quiet


def quantized(
    calibrated: bytes, left_in_float: Sequence[str] = (), *, per_channel_dense: bool = True, float_ends: bool = False
) -> bytes:
    """Quantizes to int8 with the ranges in the file.

    Args:
        calibrated: A float32 .tflite with the range of every activation.
        left_in_float: Names of activations; the operators that give them compute in float.
        per_channel_dense: Whether dense layers have a scale for each output.
        float_ends: Whether input and output stay float.

    Raises:
        UserError: The quantizer refuses.
    """
    import tensorflow as tf
    from tensorflow.lite.python.convert import mlir_quantize

    with quiet() as last_line:
        try:
            return mlir_quantize(
                calibrated,
                input_data_type=tf.float32 if float_ends else tf.int8,
                output_data_type=tf.float32 if float_ends else tf.int8,
                denylisted_nodes=list(left_in_float) or None,
                disable_per_channel_for_dense_layers=not per_channel_dense,
            )
        except Exception as error:
            raise UserError(f"the model does not quantize to int8: {last_line() or error}") from error
