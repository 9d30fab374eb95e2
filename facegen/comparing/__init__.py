"""Ways to enlarge a picture, side by side on the same faces."""
