"""What networks call an input that is no image: the axes alone would not tell it."""

HISTORY = "history"  # item numbers, int32: 0 where nothing was yet, else 1 + the class of the item
