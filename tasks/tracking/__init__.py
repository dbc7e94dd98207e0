"""MLflow runs, the registry, registered models."""
