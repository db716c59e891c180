"""A run and its points beside the report: in the terminal, as JSON, in a notebook, as frames."""
