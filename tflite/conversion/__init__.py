"""Keras to .tflite: the float graph, calibration, quantization, the operators of a target."""
