"""What a Triton server counts: its statistics and its metrics."""
