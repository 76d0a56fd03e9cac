"""The run folder and the steps that fill it."""
