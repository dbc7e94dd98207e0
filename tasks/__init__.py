"""One module per stage of dvc.yaml: parameters in, files out, metrics logged."""
