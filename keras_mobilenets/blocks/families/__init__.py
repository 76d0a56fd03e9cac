"""Blocks that one family is made of."""
