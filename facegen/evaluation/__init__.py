"""Weights measured on pictures that they were not trained on."""
