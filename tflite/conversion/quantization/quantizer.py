"""TensorFlow's own quantizer of float .tflite files with ranges in them; no other module knows which one it is.

Its rival is LiteRT's ai-edge-quantizer (0.10 compared, V1, V2 and V3-Small of 64 pixels trained on `shapes`). Given the
same ranges, that gives the same operators, XNNPACK partitions and quality (SQNR of the outputs 31.1, 31.9 and 24.6 dB
with both), in 0.03 to 0.11 s against about 0.3 s, by a public interface, and takes ranges by tensor name, as models
trained with quantization need. Its own calibration, moving averages of the extremes, is much worse (19.4, 19.8 and
13.6 dB). It calls itself alpha, pins one exact version of the runtime, and brings a builder of language models along.
TensorFlow's is kept: it is there anyway, it is the one that the stock converter uses, and dense layers per tensor are
one switch. The risk: `mlir_quantize` is a private import, and no public name takes a file with ranges.

Of int16 activations it refuses hard-sigmoid's product with a constant; int16_activations.py makes them of its int8.
"""

from collections.abc import Sequence

from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.conversion.forms.layer_normalization import inner_activations
from keras_mobilenets.tflite.runtime.native_output import suppress_native_output


def quantized(
    calibrated: bytes, left_in_float: Sequence[str] = (), *, per_channel_dense: bool = True, float_ends: bool = False
) -> bytes:
    """Quantizes to int8 with the ranges in the file.

    Args:
        calibrated: A float32 .tflite with the range of every activation.
        left_in_float: Names of activations; the operators that give them compute in float, and always those inside of
            layer normalizations.
        per_channel_dense: Whether dense layers have a scale for each output.
        float_ends: Whether input and output stay float.

    Raises:
        UserError: The quantizer refuses.
    """
    import tensorflow as tf
    from tensorflow.lite.python.convert import mlir_quantize

    with suppress_native_output() as last_line:
        try:
            return mlir_quantize(
                calibrated,
                input_data_type=tf.float32 if float_ends else tf.int8,
                output_data_type=tf.float32 if float_ends else tf.int8,
                denylisted_nodes=[*left_in_float, *inner_activations(calibrated)] or None,
                disable_per_channel_for_dense_layers=not per_channel_dense,
            )
        except Exception as error:
            raise UserError(f"the model does not quantize to int8: {last_line() or error}") from error
