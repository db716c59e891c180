"""Rows in, rows out: summary, intervals, the best point, comparisons."""
