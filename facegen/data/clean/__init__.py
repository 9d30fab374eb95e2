"""Find the crops of a set that harm training: measures, thresholds, decisions and a page."""
