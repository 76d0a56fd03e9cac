"""int8: ranges from images, equalization, the quantizer, corrections of layers, the choice among recipes."""
