"""The training loop: `fit`, checkpoints, the progress bar, TensorBoard's logs."""
