"""Finds the crops of a set that training is better without: measures, thresholds, decisions, and a page."""
