"""The process that runs one backend, and both ends of what it is told."""
