"""The discriminators: a projected one for whole 128 px faces, a conditional PatchGAN for 256 px tiles."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, PositiveInt
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from facegen.errors import ShapeError
from facegen.models.efficientnet import load_efficientnet

FEATURE_STDS = (8.7, 8.2, 8.4, 2.7)
"""Spread of EfficientNet-Lite0's maps at strides 4 to 32 on aligned faces; divided by, the heads see unit variance."""


class ProjectedConfig(BaseModel):
    """What fixes the shape of a `ProjectedDiscriminator`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mix: int = Field(default=64, ge=1)
    """Channels of the finest mixed map; coarser ones have 2x, 4x and 8x as many, at most `mix_max`."""
    mix_max: int = Field(default=256, ge=1)
    head: int = Field(default=64, ge=1)
    """Channels inside each head."""
    stddev_group: int = Field(default=8, ge=0)
    """Pictures that each head's minibatch standard deviation is taken over; 0 leaves it away."""
    projection_seed: int = 0
    """Seed of the fixed random mixing, so that a resumed run meets the same features."""


class ProjectedDiscriminator(nn.Module):
    """Heads at four scales on frozen, randomly mixed EfficientNet-Lite0 features (Sauer et al. 2021).

    Cross-channel mixing is a fixed random 1x1 convolution of each map; cross-scale mixing adds the coarser map,
    enlarged, through a fixed random 3x3 convolution. Only the heads train.
    """

    SMALLEST = 128  # px; the heads' last 4x4 convolution needs 4 px at stride 32

    def __init__(self, config: ProjectedConfig | None = None) -> None:
        super().__init__()
        config = config or ProjectedConfig()
        self.features = load_efficientnet("lite0")
        widths = [min(config.mix * 2**i, config.mix_max) for i in range(4)]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.projection_seed)
            self.across_channels = nn.ModuleList(
                _random_conv(cin, cout, 1) for cin, cout in zip(self.features.channels[1:], widths, strict=True)
            )
            outs = [widths[max(i - 1, 0)] for i in range(4)]
            self.across_scales = nn.ModuleList(
                _random_conv(cin, cout, 3) for cin, cout in zip(widths, outs, strict=True)
            )
        self.heads = nn.ModuleList(_head(cin, config, downs=3 - i) for i, cin in enumerate(outs))

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Logits of each head.

        Args:
            pictures: (B, 3, H, W) in [-1, 1]; at 128 px, the least, the heads see 32, 16, 8 and 4 px maps.
        Returns:
            four (B, 1, h, w) tensors of logits, finest first.
        Raises:
            ShapeError: if the pictures are smaller, or not RGB.
        """
        if pictures.ndim != 4 or pictures.shape[1] != 3 or min(pictures.shape[-2:]) < self.SMALLEST:
            raise ShapeError(
                f"ProjectedDiscriminator: pictures have shape {tuple(pictures.shape)}, expected (B, 3, H, W) "
                f"of at least {self.SMALLEST} px."
            )
        features = [m / std for m, std in zip(self.features(pictures)[1:], FEATURE_STDS, strict=True)]
        maps = [conv(m) for conv, m in zip(self.across_channels, features, strict=True)]
        mixed: list[Tensor] = []
        below: Tensor | None = None
        for conv, m in zip(reversed(self.across_scales), reversed(maps), strict=True):
            if below is not None:
                below = F.interpolate(below, size=m.shape[-2:], mode="bilinear", align_corners=False)
                m = (m + below) * 0.5**0.5  # unit variance kept
            below = conv(m)
            mixed.insert(0, below)
        return [head(m) for head, m in zip(self.heads, mixed, strict=True)]


def _random_conv(cin: int, cout: int, kernel: int) -> nn.Conv2d:
    conv = nn.Conv2d(cin, cout, kernel, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="linear")
    return conv.requires_grad_(False)


class MinibatchStddev(nn.Module):
    """One more channel: how much a group of pictures differs (Karras et al. 2018), so that sameness can be seen.

    The standard deviation over the group, averaged over channels and places. The last group may be smaller.
    """

    def __init__(self, group: int) -> None:
        super().__init__()
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        deviations = [
            (group.float().var(dim=0, correction=0) + 1e-8).sqrt().mean().expand(len(group), 1, *x.shape[2:])
            for group in torch.split(x, self.group)
        ]
        return torch.cat([x, torch.cat(deviations).to(x.dtype)], dim=1)  # (B, C+1, H, W)


def _head(cin: int, config: ProjectedConfig, downs: int) -> nn.Sequential:
    """Halve `downs` times to 4 px, then one logit per place."""
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


class PatchConfig(BaseModel):
    """What fixes the shape of a `PatchDiscriminator`; stored in the card of its weights."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    widths: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (24, 48, 96, 128)
    """Channels after the three stride-2 convolutions and after the join with the low-res input."""
    condition_channels: int = Field(default=6, ge=0)
    """Channels of the low-res input joined at 1/8 of the side."""
    norm: str = Field(default="spectral", pattern="^(spectral|batch|none)$")
    """"batch" is the original's."""


class PatchDiscriminator(nn.Module):
    """pix2pix's PatchGAN (Isola et al. 2017) on high-res tiles, told the low-res tile at 1/8 of the side."""

    def __init__(self, config: PatchConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or PatchConfig()
        a, b, c, d = config.widths
        self.down = nn.Sequential(
            _patch_conv(3, a, config, stride=2, norm=False), _patch_conv(a, b, config, stride=2),
            _patch_conv(b, c, config, stride=2),
        )  # fmt: skip
        self.join = nn.Sequential(
            _patch_conv(c + config.condition_channels, d, config, stride=1), _patch_conv(d, d, config, stride=2)
        )
        last = nn.Conv2d(d, 1, 3, padding=1)
        self.logits = spectral_norm(last) if config.norm == "spectral" else last

    def forward(self, tiles: Tensor, stack: Tensor) -> Tensor:
        """Logits per patch: high where the tile looks real for its input.

        Args:
            tiles: (B, 3, 8h, 8w) in [0, 1].
            stack: (B, condition_channels, h, w) in [0, 1], the input the tiles were raised from.
        Returns:
            (B, 1, h/2, w/2) logits.
        Raises:
            ShapeError: if the two do not fit each other.
        """
        planes = self.config.condition_channels
        fitting = (*stack.shape[:1], 3, *(8 * side for side in stack.shape[2:]))
        if stack.ndim != 4 or stack.shape[1] != planes or tiles.shape != fitting:
            raise ShapeError(
                f"PatchDiscriminator: stack has shape {tuple(stack.shape)}, expected (B, {planes}, h, w); "
                f"tiles have shape {tuple(tiles.shape)}, expected (B, 3, 8h, 8w)."
            )
        x = self.down(tiles * 2 - 1)  # (B, c, h, w)
        logits: Tensor = self.logits(self.join(torch.cat([x, (stack * 2 - 1).to(x.dtype)], dim=1)))
        return logits


def _patch_conv(cin: int, cout: int, config: PatchConfig, *, stride: int, norm: bool = True) -> nn.Sequential:
    conv = nn.Conv2d(cin, cout, 4 if stride == 2 else 3, stride=stride, padding=1)
    wrap: Callable[[nn.Conv2d], nn.Module] = spectral_norm if config.norm == "spectral" else lambda c: c
    layers: list[nn.Module] = [wrap(conv)]
    if norm and config.norm == "batch":
        layers.append(nn.BatchNorm2d(cout))
    return nn.Sequential(*layers, nn.LeakyReLU(0.2, inplace=True))
