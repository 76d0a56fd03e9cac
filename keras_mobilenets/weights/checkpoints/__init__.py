"""PyTorch's checkpoints: their files, read without unpickling, and the state dictionary inside."""
