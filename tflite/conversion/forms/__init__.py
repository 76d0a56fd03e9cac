"""Forms of layers and operators that targets take, put into a graph before or after its conversion."""
