"""What a run leaves on disk and whoever reads a run needs."""
