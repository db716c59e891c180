"""Load generators: schedules, closed and open loop, and the samples they take."""
