"""CUDA memory, streams and events through either of two packages."""
