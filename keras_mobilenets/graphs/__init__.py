"""Keras graphs: one without models inside it, of plain layers only, tapped at its feature maps."""
