"""What a model's input means, and images as it takes them."""
