"""Half of each batch drawn from latents that an encoder found: the VAE half of a VAE-GAN (Larsen et al. 2016)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from facegen.models.efficientnet import STAGE_ENDS, EfficientNetLite
from facegen.models.encoder import EncoderConfig, LatentEncoder
from facegen.training.losses import feature_loss, pooled_l1, prior_divergence

COLOURS, POOL = 10.0, 4
"""Weight of the L1 between means of 4 x 4 pixels, beside the feature loss: features know little of colour."""


@dataclass(frozen=True)
class Found:
    """The latents of the first pictures of a batch, as normal distributions: (B/2, Z) each."""

    mean: Tensor
    log_variance: Tensor


class Reconstruction:
    """An encoder, and how well the generator draws what it found; the features are the discriminator's own."""

    def __init__(self, z_dim: int, features: EfficientNetLite) -> None:
        self.features = features
        self.encoder = LatentEncoder(EncoderConfig(z_dim=z_dim))

    def find(self, real: Tensor, z: Tensor) -> tuple[Tensor, Found]:
        """Put found latents in the place of the first half of `z`.

        Args:
            real: (B, 3, H, W) in [-1, 1].
            z: (B, Z), standard normal; its first half is the noise about the means found.
        """
        half = len(real) // 2
        with torch.no_grad():
            maps = self.features(real[:half])[-2:]
        mean, log_variance = self.encoder(real[:half], maps)
        drawn = mean + z[:half] * (log_variance / 2).exp()
        return torch.cat([drawn, z[half:]]), Found(mean, log_variance)

    def losses(self, real: Tensor, fake: Tensor, found: Found) -> tuple[Tensor, Tensor]:
        """How far the first of the pictures drawn are from their originals, and the latents from N(0, 1) in nats."""
        half = len(found.mean)
        theirs, ours = (x[:half].add(1).div(2) for x in (real, fake))
        distance = feature_loss(self.features, ours, theirs, weights=(1.0,) * len(STAGE_ENDS))
        distance = distance + COLOURS * pooled_l1(ours, theirs, POOL)
        return distance, prior_divergence(found.mean, found.log_variance)
