"""Encoders other than DINOv2's, which fine-tuning may start from. Not the networks of this project."""
