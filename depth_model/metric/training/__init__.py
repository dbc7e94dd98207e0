"""Fine-tuning to metric depth (paper 4.3)."""
