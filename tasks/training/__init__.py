"""What the stages that train share: pools, processes, registration."""
