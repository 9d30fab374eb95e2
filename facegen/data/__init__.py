"""Training sets from the user's photos: prepared, cleaned, labelled, described, and split."""
