"""The discriminators: a projected and a plain one for whole 128 px faces, a conditional PatchGAN for 256 px tiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, PositiveInt
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from facegen.errors import ShapeError
from facegen.models.efficientnet import EfficientNetLite, load_efficientnet
from facegen.models.minibatch import MinibatchDiscrimination

Norm = Literal["spectral", "batch", "none"]

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

    @property
    def widths(self) -> list[int]:
        """Channels of the maps after the mixing of channels, finest first."""
        return [min(self.mix * 2**i, self.mix_max) for i in range(4)]

    @property
    def mixed_widths(self) -> list[int]:
        """Channels of the maps after the mixing of scales: what the heads see."""
        return [self.widths[max(i - 1, 0)] for i in range(4)]


class ProjectedHeads(nn.ModuleList):
    """The part of a `ProjectedDiscriminator` that trains, and that is published."""

    def __init__(self, config: ProjectedConfig | None = None) -> None:
        self.config = config = config or ProjectedConfig()
        super().__init__(_head(cin, config, downs=3 - i) for i, cin in enumerate(config.mixed_widths))


class ProjectedDiscriminator(nn.Module):
    """Heads at four scales on frozen, randomly mixed EfficientNet-Lite0 features (Sauer et al. 2021).

    Cross-channel mixing is a fixed random 1x1 convolution of each map; cross-scale mixing adds the coarser map,
    enlarged, through a fixed random 3x3 convolution. Only the heads train.
    """

    SMALLEST = 128  # px; the heads' last 4x4 convolution needs 4 px at stride 32

    def __init__(self, config: ProjectedConfig | None = None, features: EfficientNetLite | None = None) -> None:
        """Draw the mixing; `features` is a frozen EfficientNet-Lite0, if one is loaded already."""
        super().__init__()
        config = config or ProjectedConfig()
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
        """Logits of each head.

        Args:
            pictures: (B, 3, H, W) in [-1, 1]; at 128 px, the least, the heads see 32, 16, 8 and 4 px maps.
        Returns:
            four (B, 1, h, w) tensors of logits, finest first.
        Raises:
            ShapeError: if the pictures are smaller, or not RGB.
        """
        return self.judge(self._maps(pictures))

    def judge(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Logits of each head, as `forward` gives, for pictures whose maps are known already.

        Args:
            maps: the five of `self.features`, of pictures in [-1, 1].
        Raises:
            ShapeError: if the coarsest is smaller than 4 px.
        """
        if min(maps[-1].shape[-2:]) < 4:
            raise ShapeError(
                f"ProjectedDiscriminator: the map at stride 32 has shape {tuple(maps[-1].shape)}, expected at least "
                f"4 px, as of pictures of {self.SMALLEST} px."
            )
        return [head(m) for head, m in zip(self.heads, self._mixed(maps), strict=True)]

    def activations(self, pictures: Tensor) -> list[Tensor]:
        """What the last layer of each head sees, for feature matching."""
        mixed = self._mixed(self._maps(pictures))
        return [cast(nn.Sequential, head)[:-1](m) for head, m in zip(self.heads, mixed, strict=True)]

    def _maps(self, pictures: Tensor) -> list[Tensor]:
        """The frozen network's maps, at strides 2 to 32."""
        if pictures.ndim != 4 or pictures.shape[1] != 3 or min(pictures.shape[-2:]) < self.SMALLEST:
            raise ShapeError(
                f"ProjectedDiscriminator: pictures have shape {tuple(pictures.shape)}, expected (B, 3, H, W) "
                f"of at least {self.SMALLEST} px."
            )
        maps: list[Tensor] = self.features(pictures)
        return maps

    def _mixed(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """The four mixed maps, finest first; the map at stride 2 is not looked at."""
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


class PlainConfig(BaseModel):
    """What fixes the shape of a `DCGANDiscriminator`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    widths: tuple[PositiveInt, ...] = Field(default=(32, 64, 128, 256, 512), min_length=1)
    """Channels after each halving, down to 4 px."""
    norm: Norm = "batch"
    """"batch" is DCGAN's; "spectral" and "none" (for Wasserstein losses) are choices."""
    stddev_group: int = Field(default=0, ge=0)
    """Pictures that the minibatch standard deviation before the last layer is taken over; 0 leaves it away."""
    discrimination: int = Field(default=0, ge=0)
    """Kernels of minibatch discrimination (Salimans et al. 2016) before the last layer; 0 leaves it away."""


class DCGANDiscriminator(nn.Module):
    """DCGAN's own (Radford et al. 2016): strided convolutions down to 4 px, then one logit."""

    def __init__(self, config: PlainConfig, side: int = 128) -> None:
        super().__init__()
        if side != 4 * 2 ** len(config.widths):
            raise ShapeError(
                f"DCGANDiscriminator: {len(config.widths)} widths halve {side} px to {side / 2 ** len(config.widths):g}"
                ", expected 4 px."
            )
        layers: list[nn.Module] = []
        cin = 3
        for i, width in enumerate(config.widths):
            layers.append(patch_conv(cin, width, config.norm, stride=2, norm_after=i > 0))
            cin = width
        if config.stddev_group:
            layers.append(MinibatchStddev(config.stddev_group))
            cin += 1
        last: nn.Module = nn.Conv2d(cin, 1, 4)
        if config.discrimination:
            features = 16 * cin
            layers += [nn.Flatten(), MinibatchDiscrimination(features, config.discrimination)]
            last = nn.Linear(features + config.discrimination, 1)
        self.heads = nn.Sequential(*layers, spectral_norm(last) if config.norm == "spectral" else last)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """One logit for each of (B, 3, side, side) pictures in [-1, 1]: a list of one tensor of B values."""
        return [self.heads(pictures).view(-1)]

    def activations(self, pictures: Tensor) -> list[Tensor]:
        """What the last layer sees, for feature matching."""
        return [self.heads[:-1](pictures)]


class PatchConfig(BaseModel):
    """What fixes the shape of a `PatchDiscriminator`; stored in the card of its weights."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    widths: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (24, 48, 96, 128)
    """Channels after the three stride-2 convolutions and after the join with the low-res input."""
    condition_channels: int = Field(default=6, ge=0)
    """Channels of the low-res input joined at 1/8 of the side."""
    norm: Norm = "spectral"
    """"batch" is the original's."""


class PatchDiscriminator(nn.Module):
    """pix2pix's PatchGAN (Isola et al. 2017) on high-res tiles, told the low-res tile at 1/8 of the side."""

    def __init__(self, config: PatchConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or PatchConfig()
        a, b, c, d = config.widths
        self.down = nn.Sequential(
            patch_conv(3, a, config.norm, stride=2, norm_after=False), patch_conv(a, b, config.norm, stride=2),
            patch_conv(b, c, config.norm, stride=2),
        )  # fmt: skip
        self.join = nn.Sequential(
            patch_conv(c + config.condition_channels, d, config.norm, stride=1),
            patch_conv(d, d, config.norm, stride=2),
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


def patch_conv(cin: int, cout: int, norm: Norm, *, stride: int, norm_after: bool = True) -> nn.Sequential:
    """A convolution that keeps or halves the side (stride 1 or 2), its norm, and a leaky ReLU."""
    conv = nn.Conv2d(cin, cout, 4 if stride == 2 else 3, stride=stride, padding=1)
    layers: list[nn.Module] = [spectral_norm(conv) if norm == "spectral" else conv]
    if norm_after and norm == "batch":
        layers.append(nn.BatchNorm2d(cout))
    return nn.Sequential(*layers, nn.LeakyReLU(0.2, inplace=True))
