"""From raw samples to numbers: warm-up, windows, exact percentiles, validity."""
