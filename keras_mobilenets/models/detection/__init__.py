"""Detection on the feature maps of a backbone."""
