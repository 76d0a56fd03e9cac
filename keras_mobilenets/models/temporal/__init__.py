"""Networks for what changes over time: sound."""
