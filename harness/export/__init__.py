"""A run for other tools that keep results: MLflow, Weights & Biases."""
