"""Standard convolutional networks, and those that separable convolutions grew out of or went into."""
