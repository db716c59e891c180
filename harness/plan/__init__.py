"""What to ask for before a deployment: memory, replicas, cards, and the files that say so."""
