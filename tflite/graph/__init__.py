"""The flatbuffer: reading, writing, layer names, weights, the verifier, limits of scales, sparsity, multiply-adds."""
