"""Measure weights on pictures held out of their training, and films by their temporal metrics."""
