"""Clips as examples, and the data set `motion`."""
