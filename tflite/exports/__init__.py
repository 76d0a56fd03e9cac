"""Out of the house: a .tflite as ONNX, OpenVINO's format or a folder for TensorRT; figures for Model Explorer."""
