"""What a semantic model says about an image."""
