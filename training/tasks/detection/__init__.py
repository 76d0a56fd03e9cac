"""Boxes in an image."""
