"""A service under shapes of load and faults, driven by Locust: when it breaks, whether it leaks."""
