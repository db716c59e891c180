"""TensorRT: build, cache, load and call engines."""
