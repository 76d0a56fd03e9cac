"""Light convolutional networks beside the MobileNets."""
