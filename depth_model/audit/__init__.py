"""Near duplicates, leaks, drift and scenes of a collection. Reads shards; knows no training."""
