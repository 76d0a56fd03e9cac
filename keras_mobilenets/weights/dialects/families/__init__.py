"""One family's names, one file each."""
