"""Networks of convolutions and attention, and their token mixers."""
