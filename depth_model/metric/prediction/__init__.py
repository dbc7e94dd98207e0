"""Metric depth of images of any size."""
