"""Memory limits for the processes that run a model: put in force, and shown to be in force."""
