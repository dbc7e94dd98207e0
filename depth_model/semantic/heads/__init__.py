"""Networks of segmentation and their checkpoints."""
