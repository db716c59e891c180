"""What a plan becomes: manifests for schedulers that share GPUs."""
