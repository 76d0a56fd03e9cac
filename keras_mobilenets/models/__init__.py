"""The families, one file each, opening with the paper's table; `builder` makes the signature they share."""
