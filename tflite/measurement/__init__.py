"""Accuracy, latency, the profile by operator, comparison with stock models."""
