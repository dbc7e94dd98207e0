"""Fine-tuning to segmentation (paper 4.4)."""
