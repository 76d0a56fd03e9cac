"""What of a graph goes into the operators beside it: activations, scales, scaling of pixels, channel shuffles."""
