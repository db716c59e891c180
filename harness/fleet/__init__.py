"""Many GPUs, many machines: a run in shards, as lanes of one host or anywhere, and merged."""
