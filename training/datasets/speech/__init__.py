"""Recordings of speech: WAV files, their augmentation, the embedded data set `words`."""
