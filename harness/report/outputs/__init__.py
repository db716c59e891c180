"""A report as HTML, PDF, CSV and text in the terminal."""
