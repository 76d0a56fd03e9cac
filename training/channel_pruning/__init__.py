"""Channel pruning: whole channels removed along the graph's groups."""
