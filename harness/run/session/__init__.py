"""One backend in one round: its server, its workers, from start to end."""
