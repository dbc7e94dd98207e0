"""Depth of images of any size: what labeling, evaluation and users call. Trains nothing."""
