"""The projected discriminator: heads at four scales on frozen, randomly mixed features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from facegen.errors import ShapeError
from facegen.models.discriminators import MinibatchStddev, check_pictures
from facegen.models.efficientnet import EfficientNetLite, load_efficientnet

FEATURE_STDS = (8.7, 8.2, 8.4, 2.7)
"""Standard deviations of EfficientNet-Lite0's maps at strides 4 to 32 on aligned faces, by which maps are divided."""


class ProjectedConfig(BaseModel, extra="forbid", frozen=True):
    """The shape of a `ProjectedDiscriminator`."""

    mix: int = Field(default=64, ge=1)
    """Channels of the finest mixed map; coarser maps have 2x, 4x and 8x as many, but at most `mix_max`."""
    mix_max: int = Field(default=256, ge=1)
    head: int = Field(default=64, ge=1)
    """Channels in each head."""
    stddev_group: int = Field(default=8, ge=0)
    """Pictures per group for each head's minibatch standard deviation; 0 omits it."""
    projection_seed: int = 0
    """Seed of the fixed random mixing, so that a resumed run has the same features."""

    @property
    def widths(self) -> list[int]:
        """Channels of the maps after cross-channel mixing, finest first."""
        return [min(self.mix * 2**i, self.mix_max) for i in range(4)]

    @property
    def mixed_widths(self) -> list[int]:
        """Channels of the maps after cross-scale mixing, which are the input of the heads."""
        return [self.widths[max(i - 1, 0)] for i in range(4)]


class ProjectedHeads(nn.ModuleList):
    """The trained and published part of a `ProjectedDiscriminator`."""

    def __init__(self, config: ProjectedConfig) -> None:
        self.config = config
        super().__init__(_head(cin, config, downs=3 - i) for i, cin in enumerate(config.mixed_widths))


class ProjectedDiscriminator(nn.Module):
    """Heads at four scales on frozen, randomly mixed EfficientNet-Lite0 features (Sauer et al. 2021).

    Cross-channel mixing is a fixed random 1x1 convolution of each map; cross-scale mixing adds the enlarged coarser map
    and applies a fixed random 3x3 convolution. Only the heads are trained.
    """

    SMALLEST = 128  # px; the heads' last 4x4 convolution needs 4 px at stride 32

    def __init__(self, config: ProjectedConfig, features: EfficientNetLite | None = None) -> None:
        """Initialise the mixing and the heads; `features` is a frozen EfficientNet-Lite0, loaded if it is None."""
        super().__init__()
        self.features = features or load_efficientnet("lite0")
        widths, outs = config.widths, config.mixed_widths
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.projection_seed)
            self.across_channels = nn.ModuleList(
                _random_conv(cin, cout, 1) for cin, cout in zip(self.features.channels[1:], widths, strict=True)
            )
            self.across_scales = nn.ModuleList(
                _random_conv(cin, cout, 3) for cin, cout in zip(widths, outs, strict=True)
            )
        self.heads = ProjectedHeads(config)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Rate (B, 3, H, W) pictures in [-1, 1] of at least 128 px: four (B, 1, h, w) maps of logits, finest first."""
        return self.logits(self._maps(pictures))

    def logits(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Rate pictures as `forward`, from their five maps by `self.features`."""
        if min(maps[-1].shape[-2:]) < 4:
            raise ShapeError(
                f"ProjectedDiscriminator: the map at stride 32 has shape {tuple(maps[-1].shape)}, expected at least "
                f"4 px, as of pictures of {self.SMALLEST} px."
            )
        return [head(m) for head, m in zip(self.heads, self._mixed(maps), strict=True)]

    def activations(self, pictures: Tensor) -> list[Tensor]:
        """Return the input of each head's last layer, for feature matching."""
        mixed = self._mixed(self._maps(pictures))
        return [cast(nn.Sequential, head)[:-1](m) for head, m in zip(self.heads, mixed, strict=True)]

    def _maps(self, pictures: Tensor) -> list[Tensor]:
        check_pictures("ProjectedDiscriminator: pictures have", pictures, least=self.SMALLEST)
        return cast(list[Tensor], self.features(pictures))

    def _mixed(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Mix maps to four, finest first; the map at stride 2 is not used."""
        scaled = [m / std for m, std in zip(maps[1:], FEATURE_STDS, strict=True)]
        across = [conv(m) for conv, m in zip(self.across_channels, scaled, strict=True)]
        mixed: list[Tensor] = []
        below: Tensor | None = None
        for conv, m in zip(reversed(self.across_scales), reversed(across), strict=True):
            if below is not None:
                below = F.interpolate(below, size=m.shape[-2:], mode="bilinear", align_corners=False)
                m = (m + below) * 0.5**0.5  # unit variance kept
            below = conv(m)
            mixed.insert(0, below)
        return mixed


def _random_conv(cin: int, cout: int, kernel: int) -> nn.Conv2d:
    conv = nn.Conv2d(cin, cout, kernel, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="linear")
    return conv.requires_grad_(False)


def _head(cin: int, config: ProjectedConfig, downs: int) -> nn.Sequential:
    """Return a head that halves a map `downs` times to 4 px, then computes one logit per pixel."""
    layers: list[nn.Module] = []
    width = config.head
    for _ in range(downs):
        layers += [spectral_norm(nn.Conv2d(cin, width, 4, stride=2, padding=1)), nn.LeakyReLU(0.2, inplace=True)]
        cin = width
    if not downs:
        layers += [spectral_norm(nn.Conv2d(cin, width, 3, padding=1)), nn.LeakyReLU(0.2, inplace=True)]
    if config.stddev_group:
        layers.append(MinibatchStddev(config.stddev_group))
        width += 1
    return nn.Sequential(*layers, spectral_norm(nn.Conv2d(width, 1, 4)))
