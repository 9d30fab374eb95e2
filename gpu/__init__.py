"""Training on a machine with a GPU and no network: `pack` prepares what to copy there, `train` runs there."""
