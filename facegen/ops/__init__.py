"""Pure functions on tensors and arrays: tiles, variants, scores, choice, blending, consistency, seams, damage."""
