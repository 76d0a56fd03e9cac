"""Models that tfmot's own `quantize_model` made quantization-aware: int8 by the stock converter, as tfmot intends it.

tfmot's scheme leaves some activations without a range (those between a convolution and its ReLU, for example, or of
layers that it does not know), and the stock converter knows which of them need none.
"""

from typing import Any

from keras_mobilenets.errors import UserError
from keras_mobilenets.tflite.conversion.traced_graph import ExportedModel, concrete_function, declared_inputs, reason_of
from keras_mobilenets.tflite.graph import flatbuffer, layer_names, signature
from keras_mobilenets.tflite.runtime.native_output import suppress_native_output


def is_of_tfmot(model: Any) -> bool:
    """Whether tfmot itself made a model quantization-aware."""
    import keras

    if isinstance(model, keras.Model | ExportedModel):
        return False
    from keras_mobilenets.training.compression.qat import is_quantize_aware_by_tfmot

    return is_quantize_aware_by_tfmot(model)


def refuse(name: str, **said: Any) -> None:
    """Refuses arguments of `convert` that the stock converter cannot follow.

    Args:
        name: The model's.
        **said: Arguments by name; None for what was not said.

    Raises:
        UserError: One was said.
    """
    refused = next((argument for argument, value in said.items() if value is not None), None)
    if refused:
        raise UserError(
            f"{refused}= is not for {name}, which tfmot itself made quantization-aware and the stock converter "
            "converts: leave it out, or make it by training.quantize_aware"
        )


def int8(model: Any, *, per_channel_dense: bool) -> bytes:
    """The int8 .tflite of such a model, input and output int8 too.

    Args:
        model: A tf_keras model.
        per_channel_dense: As in `quantizer.quantized`.

    Raises:
        UserError: It does not convert.
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete_function(model)], model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    converter._experimental_disable_per_channel_quantization_for_dense_layers = not per_channel_dense
    with suppress_native_output():
        try:
            content = converter.convert()
        except Exception as error:
            raise UserError(f"{model.name} does not convert: {reason_of(error)}") from error
    converted = flatbuffer.read(content)
    outputs = len(converted.subgraphs[0].outputs)
    names = ["output"] if outputs == 1 else [f"output_{place}" for place in range(outputs)]
    signature.name_ends(converted, [source.name for source in declared_inputs(model.name, model, None)[1]], names)
    layer_names.name_by_layers(converted, model)
    return flatbuffer.write(converted)
