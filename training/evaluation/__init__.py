"""Evaluation of a trained classifier: confusion matrix, mistakes, Grad-CAM."""
