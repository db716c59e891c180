"""ONNX Runtime with any execution provider."""
