"""Label the faces of a set by eye: the labels on disk, and the web page."""
