"""Half of each batch drawn from latents that an encoder found: the VAE half of a VAE-GAN (Larsen et al. 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from facegen.models.dcgan import DCGANGenerator
from facegen.models.efficientnet import STAGE_ENDS, EfficientNetLite, feature_loss
from facegen.models.encoder import EncoderConfig, LatentEncoder
from facegen.training.draws import Draws
from facegen.training.losses import prior_divergence
from facegen.training.parallel import mean_over_processes, processes

COLOURS = 50.0
"""Weight of the pixels' L1 beside the feature loss, whose gradient is 15 times as long even so: features know little of
colour, and nothing of stripes of red and green one pixel wide."""
SHIFT = 32
"""Pictures are shifted at random by less than this before they are compared: a strided network, always shown the same
grid, does not see a pattern that lies between its lines."""
HALF_LIFE = 2000
"""Pictures after which an older one counts half as much in the moments of the latents."""
JITTER = 1e-6
"""Added to the variances, so that rounding leaves the covariance positive."""


@dataclass(frozen=True)
class Found:
    """The latents of every second picture of a batch, as normal distributions: (B/2, Z) each."""

    mean: Tensor
    log_variance: Tensor


@torch.no_grad()
def learn_map(latents: Tensor, generators: Sequence[DCGANGenerator]) -> None:
    """Move the generators' map towards the mean and covariance of (B, Z) latents, of this process and of the others.

    The latents come with their noise: without it the other half of a batch could be told from the half that is drawn
    from them, and was drawn worse. The first generator's map is the memory; all are given the same.
    """
    first = generators[0]
    with torch.autocast(latents.device.type, enabled=False):
        keep = 0.5 ** (len(latents) * processes() / HALF_LIFE)
        offset = latents.detach().float() - first.latent_mean
        covariance = first.latent_factor @ first.latent_factor.T
        covariance.lerp_(mean_over_processes(offset.T @ offset / len(offset)), 1 - keep)
        mean = first.latent_mean + (1 - keep) * mean_over_processes(offset.mean(dim=0))
        factor = torch.linalg.cholesky(covariance + JITTER * torch.eye(len(mean), device=mean.device))
        for generator in generators:
            generator.latent_factor.copy_(factor)
            generator.latent_mean.copy_(mean)


class Reconstruction:
    """An encoder, and how well the generator draws what it found; the features are the discriminator's own."""

    def __init__(self, generator: DCGANGenerator, average: DCGANGenerator, features: EfficientNetLite) -> None:
        self.generator, self.average, self.features = generator, average, features
        self.encoder = LatentEncoder(EncoderConfig(z_dim=generator.config.z_dim))

    def find(self, real: Tensor, z: Tensor) -> tuple[Tensor, Found]:
        """Map z to latents, every second of them to one that the encoder found.

        Args:
            real: (B, 3, H, W) in [-1, 1]; latents of every second picture are found.
            z: (B, Z), standard normal; in those rows it is the noise about the means found.
        Returns:
            (B, Z) latents for `DCGANGenerator.synthesise`, and the distributions found.
        """
        rows = torch.arange(0, len(real), 2, device=real.device)
        with torch.no_grad():
            maps = self.features(real[rows])[-2:]
        mean, log_variance = self.encoder(real[rows], maps)
        drawn = (mean + z[rows] * (log_variance / 2).exp()).to(z.dtype)
        learn_map(drawn, (self.generator, self.average))
        return self.generator.mapped(z).index_copy(0, rows, drawn), Found(mean, log_variance)

    def losses(self, real: Tensor, fake: Tensor, found: Found, draws: Draws) -> tuple[Tensor, Tensor]:
        """How far every second picture drawn is from its original, and the latents from N(0, 1) in nats."""
        shift = draws.shared(0, SHIFT, 2)
        theirs, ours = (x[::2].roll(shift, dims=(2, 3)).add(1).div(2) for x in (real, fake))
        distance = feature_loss(self.features, ours, theirs, weights=(1.0,) * len(STAGE_ENDS))
        distance = distance + COLOURS * F.l1_loss(ours, theirs)
        return distance, prior_divergence(found.mean, found.log_variance)
