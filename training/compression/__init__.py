"""tensorflow-model-optimization on Keras 3 models: the bridge, quantization-aware training, pruning, clustering."""
