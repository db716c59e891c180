"""What this machine can run: checks of backends and of the machine, for `harness doctor`."""
