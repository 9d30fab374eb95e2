"""The networks: an nn.Module and a config class for each."""
