"""The verbs about conversion and what int8 does to a model."""
