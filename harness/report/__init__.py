"""From a run directory to what people read: view model → HTML, PDF, CSV and the terminal."""
