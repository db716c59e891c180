"""The Triton server: installation, life, model repository and statistics."""
