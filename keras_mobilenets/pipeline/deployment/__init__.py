"""A run for others: files of other runtimes, figures for Model Explorer, the hub."""
