"""Float weights and biases moved so that the int8 network answers as the float one: equalized, corrected, taught."""
