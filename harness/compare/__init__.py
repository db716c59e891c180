"""Two backends, environments or runs against each other: measured in blocks, judged, explained."""
