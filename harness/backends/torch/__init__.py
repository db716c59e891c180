"""PyTorch: eager, compiled or captured in CUDA graphs."""
