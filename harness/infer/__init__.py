"""One request through a backend or a server, and what came back."""
