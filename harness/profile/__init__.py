"""Where the time of a model goes: profiled, explained, and what would save some of it."""
