"""int8: ranges from images, equalization, the quantizer, bias correction."""
