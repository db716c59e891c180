"""A running Triton, served from a folder and watched: what it counts as rates, and its traffic as a
trace to be replayed.

A run's own figures, live for Prometheus, stand beside it.
"""
