"""The interpreter, and the process of its own that tries files."""
