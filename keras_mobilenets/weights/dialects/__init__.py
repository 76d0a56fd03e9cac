"""What PyTorch libraries call the modules of a network: one file a dialect, a function `modules`."""
