"""Experiments over the whole pipeline: they drive `dvc exp run` and collect results."""
