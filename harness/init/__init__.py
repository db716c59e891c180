"""A scenario from nothing but a model: what it takes is asked of the model itself."""
