"""What a trained model gets wrong, as the report shows it: of one class an image, of several labels."""
