"""Faces of a training set labelled by people: the labels on disk, the order of the faces, and the page to swipe on."""
