"""Neural architecture search: a network for a budget, from a space of inverted residuals."""
