"""Memory, CPU and GPU series, sampled by a process of their own."""
