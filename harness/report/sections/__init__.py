"""A report's sections, one a module."""
