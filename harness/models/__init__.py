"""The model: prepared once for every backend, its inputs, and parity with the reference."""
