"""Weights from files: those of keras.applications, PyTorch's of timm and torchvision, `.keras` and `.safetensors`."""
