"""Convolutions of clips."""
