"""What a run would refuse, said before it: `harness validate`; and what a scenario may say."""
