"""The scenario file: its schema, its loader with positions, and its points."""
