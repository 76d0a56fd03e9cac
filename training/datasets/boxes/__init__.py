"""Data sets of images that hold boxes."""
