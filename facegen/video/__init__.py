"""Films: walks through the latent space, and clips, upscaled without flicker."""
