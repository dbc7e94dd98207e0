"""Segmentation: classes, heads, their training, their prediction. Depth does not depend on it."""
