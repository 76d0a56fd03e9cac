"""Detectors of boxes."""
