"""Metric depth: heads, their training, their prediction. Relative depth does not depend on it."""
