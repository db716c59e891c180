"""Search over the configs of Triton backends: which to measure next, and which again.

Each method is a pure function of the space and the rows so far, so a run's journal is all that
resuming takes.
"""
