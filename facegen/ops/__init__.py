"""Pure functions on tensors: tiles, variants, scores, choice, blend, consistency, seams, degradations."""
