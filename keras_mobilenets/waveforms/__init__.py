"""What the waveform input of a model means: features of speech."""
