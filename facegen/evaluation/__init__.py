"""Measure weights on pictures kept out of their training, and films by their temporal metrics."""
