"""The view model that every output of a report is rendered from."""
