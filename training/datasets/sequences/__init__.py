"""Sequences of items, such as films that a user rated, one after the other."""
