"""The machine below the harness: files, processes, network, packages, credentials."""
