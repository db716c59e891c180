"""What a run would refuse, said before it: `harness validate`."""
