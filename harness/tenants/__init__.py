"""Several models or replicas on one device: what sharing costs each, and how many it holds."""
