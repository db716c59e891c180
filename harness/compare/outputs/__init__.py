"""What is written of a comparison, a file a format."""
