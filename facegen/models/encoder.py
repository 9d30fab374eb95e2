"""The encoder from a face to its latent vector, as in the VAE-GAN (Larsen et al. 2016); it trains with the DCGAN."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field
from torch import Tensor, nn

from facegen.models.projected import FEATURE_STDS

LOG_VARIANCE = (-8.0, 2.0)
"""Range to which the logarithm of a latent's variance is clamped."""
GRID = 4
"""Side of the map before the hidden layer."""


class EncoderConfig(BaseModel, extra="forbid", frozen=True):
    """The shape of a `LatentEncoder`."""

    z_dim: int = Field(default=128, ge=1)
    """Length of the latent vector z."""
    channels: tuple[int, int] = (112, 320)
    """Channels of the frozen network's maps at strides 16 and 32; EfficientNet-Lite0's."""
    width: int = Field(default=512, ge=1)
    """Units of the hidden layer."""


class LatentEncoder(nn.Module):
    """Estimates the distribution of z from a picture and a frozen network's two coarsest maps of it."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        middle, coarse = config.channels
        self.middle = nn.Conv2d(middle, 64, 3, stride=2, padding=1)
        self.coarse = nn.Conv2d(coarse, 128, 1)
        self.colours = nn.Conv2d(3, 32, 4, stride=4)
        self.hidden = nn.Linear((64 + 128 + 32) * GRID**2, config.width)
        self.mean = nn.Linear(config.width, config.z_dim)
        self.log_variance = nn.Linear(config.width, config.z_dim)
        nn.init.zeros_(self.log_variance.weight)
        nn.init.zeros_(self.log_variance.bias)

    def forward(self, picture: Tensor, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Estimate the mean and the logarithm of the variance of z, (B, z_dim) each.

        Args:
            picture: (B, 3, H, W) in [-1, 1].
            maps: the frozen network's maps of it at strides 16 and 32.
        """
        middle, coarse = (m / spread for m, spread in zip(maps, FEATURE_STDS[-2:], strict=True))
        read = [self.middle(middle), self.coarse(coarse), self.colours(F.adaptive_avg_pool2d(picture, 4 * GRID))]
        x = torch.cat([F.adaptive_avg_pool2d(F.leaky_relu(r, 0.2), GRID) for r in read], dim=1)  # (B, 224, 4, 4)
        x = F.leaky_relu(self.hidden(x.flatten(1)), 0.2)
        return self.mean(x), self.log_variance(x).clamp(*LOG_VARIANCE)
