"""What the phone's app is given."""
