"""What a trained model gets right and wrong, and why: examination, Grad-CAM."""
