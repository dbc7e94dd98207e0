"""A depth-conditioned ControlNet, trained through diffusers on images and their pseudo labels (paper, figure 4)."""
