"""Networks of metric depth and their checkpoints."""
