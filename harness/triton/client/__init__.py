"""Talking to a Triton server: the backend over HTTP and gRPC, and control."""
