"""Latents: drawn from seeds, rated by the plausibility of their faces, and estimated from faces by an encoder."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field
from torch import Tensor, nn

from facegen.models.projected import FEATURE_STDS

LEVELS = 101
"""Number of stored quantiles of the ratings, 0 % to 100 %."""
UNCUT = 6.0
"""Standard deviations at which latents are truncated before they are rated, which practically none reaches."""
ATTEMPTS = 64
"""Largest number of latents of a seed; if all others are rejected, the last is taken."""
LOG_VARIANCE = (-8.0, 2.0)
"""Range to which the logarithm of a latent's variance is clamped."""
GRID = 4
"""Side of the map before the hidden layer."""


class RatingConfig(BaseModel, extra="forbid", frozen=True):
    """The shape of a `LatentRating`."""

    z_dim: int = Field(default=128, ge=1)
    """Length of the latent vector z."""
    width: int = Field(default=256, ge=1)
    """Units of each of the two hidden layers."""


class LatentRating(nn.Module):
    """Estimates from z how plausible the face is that one generator draws from it; see `facegen.training.rating`."""

    levels: Tensor

    def __init__(self, config: RatingConfig, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = config
        self.layers = nn.Sequential(
            nn.Linear(config.z_dim, config.width), nn.GELU(), nn.Dropout(dropout),
            nn.Linear(config.width, config.width), nn.GELU(), nn.Dropout(dropout),
            nn.Linear(config.width, 1),
        )  # fmt: skip
        self.register_buffer("levels", torch.zeros(LEVELS))

    def forward(self, z: Tensor) -> Tensor:
        """Rate (N, z_dim) latents: (N,), higher is more plausible."""
        rated: Tensor = self.layers(z)[:, 0]
        return rated

    @torch.no_grad()
    def learn_levels(self, z: Tensor) -> None:
        """Measure the quantiles of the ratings over (N, z_dim) normal latents."""
        self.levels.copy_(torch.quantile(self(z), torch.linspace(0, 1, LEVELS, device=z.device)))

    @torch.no_grad()
    def accepts(self, z: Tensor, rejection: float) -> bool:
        """Return True if the rating of a (z_dim,) latent is above that of the worst share `rejection` of latents."""
        place = rejection * (LEVELS - 1)
        below = min(int(place), LEVELS - 2)
        bound = torch.lerp(self.levels[below], self.levels[below + 1], place - below)
        return bool(self(z[None])[0] >= bound)


def draw_latent(
    seed: int, z_dim: int, truncation: float, rating: LatentRating | None = None, rejection: float = 0.0
) -> Tensor:
    """Draw the latent of a seed: (z_dim,) float32, normal, truncated at 2 x truncation standard deviations.

    It is computed from uniform numbers by the inverse of the truncated normal distribution, so that a lower truncation
    gives the same face, but more typical. With a rating, the first latent is taken that is not among the worst share
    `rejection` (rejection sampling as in Azadi et al. 2019, "Discriminator Rejection Sampling"); it is rated before it
    is truncated, so that a seed has the same face at every truncation.

    Args:
        rating: on the CPU.
    """
    rng = torch.Generator().manual_seed(seed)
    for _ in range(ATTEMPTS):
        uniform = torch.rand(z_dim, generator=rng, dtype=torch.float64) * 2 - 1
        if rating is None or not rejection or rating.accepts(_normal(uniform, UNCUT), rejection):
            break
    return _normal(uniform, 2 * truncation)


def _normal(uniform: Tensor, bound: float) -> Tensor:
    """Map uniform numbers in [-1, 1] to normal numbers truncated at +-`bound`."""
    z = math.sqrt(2) * torch.erfinv(uniform * math.erf(bound / math.sqrt(2)))
    return z.clamp(-bound, bound).float()


class EncoderConfig(BaseModel, extra="forbid", frozen=True):
    """The shape of a `LatentEncoder`."""

    z_dim: int = Field(default=128, ge=1)
    """Length of the latent vector z."""
    channels: tuple[int, int] = (112, 320)
    """Channels of the frozen network's maps at strides 16 and 32; EfficientNet-Lite0's."""
    width: int = Field(default=512, ge=1)
    """Units of the hidden layer."""


class LatentEncoder(nn.Module):
    """Estimates the distribution of z from a picture and a frozen network's two coarsest maps of it, as in the VAE-GAN
    (Larsen et al. 2016); it trains with the DCGAN.
    """

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
