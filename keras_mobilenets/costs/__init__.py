"""Parameters, multiply-adds and memory of a model; the published figures; selection by them."""
