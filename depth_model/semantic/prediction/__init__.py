"""Classes of images of any size."""
