"""Which layer became slower: per-layer times of two versions, matched and judged."""
