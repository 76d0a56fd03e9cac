"""The flatbuffer: reading and writing, layer names, weights, the verifier, limits of scales, sparsity, multiply-adds."""
