"""Model repositories: written, changed, filled."""
