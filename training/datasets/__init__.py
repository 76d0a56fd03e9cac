"""Labelled images: the embedded `shapes`, TFDS, folders; augmentation and batches."""
