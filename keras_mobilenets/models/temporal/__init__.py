"""Networks for what changes over time: sound, sequences of items."""
