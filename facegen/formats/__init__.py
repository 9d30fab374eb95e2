"""What picture files bring along: how they are decoded, their metadata, and large ones written in strips."""
