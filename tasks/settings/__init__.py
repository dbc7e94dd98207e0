"""params.yaml, checked before anything runs."""
