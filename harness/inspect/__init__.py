"""A backend looked at from close, outside of every timed run: its layers' times and its outputs."""
