"""Training on a machine that has a GPU and no network: `pack` lays out what to copy there, `train` runs there."""
