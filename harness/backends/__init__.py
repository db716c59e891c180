"""Ways to run a model: see `harness.backends.base` for the seam and `registry` for the list."""
