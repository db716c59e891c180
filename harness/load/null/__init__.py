"""Servers that do nothing, for what a load generator alone can reach."""
