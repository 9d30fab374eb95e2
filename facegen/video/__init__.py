"""Films: walks through the latent space and clips of others, upscaled so that they hold still."""
