"""One execution of a scenario: orchestrator, workers, and the run directory."""
