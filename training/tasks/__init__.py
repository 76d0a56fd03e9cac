"""What the labels of a data set are."""
