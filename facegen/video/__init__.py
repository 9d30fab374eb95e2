"""Films: walks through the latent space and clips of others, raised so that they hold still."""
