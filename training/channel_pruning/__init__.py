"""Channel pruning: channels are removed with all that depends on them."""
