"""Mobile vision models from a Keras builder to a number on a phone."""
