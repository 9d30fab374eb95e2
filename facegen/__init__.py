"""facegen: high-resolution faces from a DCGAN and a landmark-guided J-net."""

__version__ = "0.1.0"
