"""The networks: plain nn.Modules, one config class each."""
