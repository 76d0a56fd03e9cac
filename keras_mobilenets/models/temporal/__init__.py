"""Networks for what changes over time: sound, clips, sequences of items."""
