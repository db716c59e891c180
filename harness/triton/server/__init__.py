"""Triton servers: installed, started, watched, stopped."""
