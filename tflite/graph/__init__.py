"""The flatbuffer: reading and writing, layer names, weights, the verifier, sparsity, multiply-adds."""
