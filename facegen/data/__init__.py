"""Make training sets from the user's photos: prepare, clean, label, describe and split them."""
