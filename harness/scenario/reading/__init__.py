"""From YAML to a checked scenario, with the place of every mistake."""
