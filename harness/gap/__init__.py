"""Where the time between a model in process and the same model on a server goes, part by part."""
