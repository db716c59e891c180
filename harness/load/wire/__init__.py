"""Load for Triton over raw connections: requests serialised once, one thread, one epoll loop."""
