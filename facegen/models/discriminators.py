"""Discriminators without frozen parts: DCGAN's for 128 px faces, and a conditional PatchGAN for 256 px tiles."""

from __future__ import annotations

from typing import Literal, cast

import torch
from pydantic import BaseModel, Field, PositiveInt
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from facegen.errors import ShapeError

Norm = Literal["spectral", "batch", "none"]


class PlainConfig(BaseModel, extra="forbid", frozen=True):
    """The shape of a `DCGANDiscriminator`."""

    widths: tuple[PositiveInt, ...] = Field(default=(32, 64, 128, 256, 512), min_length=1)
    """Channels after each halving, down to 4 px."""
    norm: Norm = "batch"
    """"batch" is DCGAN's; "none" is for Wasserstein losses."""
    stddev_group: int = Field(default=0, ge=0)
    """Pictures per group for the minibatch standard deviation before the last layer; 0 omits it."""
    discrimination: int = Field(default=0, ge=0)
    """Kernels of minibatch discrimination (Salimans et al. 2016) before the last layer; 0 omits it."""


class DCGANDiscriminator(nn.Module):
    """DCGAN's discriminator (Radford et al. 2016): strided convolutions down to 4 px, then one logit."""

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
        """Rate (B, 3, side, side) pictures in [-1, 1]: a list with one tensor of B logits."""
        return [self.heads(pictures).view(-1)]

    def activations(self, pictures: Tensor) -> list[Tensor]:
        """Return the last layer's input, for feature matching."""
        return [self.heads[:-1](pictures)]


class PatchConfig(BaseModel, extra="forbid", frozen=True):
    """The shape of a `PatchDiscriminator`, stored in the card of its weights."""

    widths: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (24, 48, 96, 128)
    """Channels after the three stride-2 convolutions and after the join with the low-res input."""
    condition_channels: int = Field(default=6, ge=0)
    """Channels of the low-res input, which is concatenated at 1/8 of the side."""
    norm: Norm = "spectral"
    """"batch" is the original's."""


class PatchDiscriminator(nn.Module):
    """pix2pix's PatchGAN (Isola et al. 2017) on high-res tiles; the low-res tile is concatenated at 1/8 of the side."""

    def __init__(self, config: PatchConfig) -> None:
        super().__init__()
        self.config = config
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
        """Rate the patches of tiles: (B, 1, h/2, w/2) logits, high where a tile looks real for its input.

        Args:
            tiles: (B, 3, 8h, 8w) in [0, 1].
            stack: (B, condition_channels, h, w) in [0, 1], the low-res input of the tiles.
        Raises:
            ShapeError: if the two have other shapes.
        """
        planes = self.config.condition_channels
        fitting = (*stack.shape[:1], 3, *(8 * side for side in stack.shape[2:]))
        if stack.ndim != 4 or stack.shape[1] != planes or tiles.shape != fitting:
            raise ShapeError(
                f"PatchDiscriminator: stack has shape {tuple(stack.shape)}, expected (B, {planes}, h, w); "
                f"tiles have shape {tuple(tiles.shape)}, expected (B, 3, 8h, 8w)."
            )
        x = self.down(tiles * 2 - 1)  # (B, c, h, w)
        return cast(Tensor, self.logits(self.join(torch.cat([x, (stack * 2 - 1).to(x.dtype)], dim=1))))


def patch_conv(
    cin: int, cout: int, norm: Norm, *, stride: int, kernel: int | None = None, norm_after: bool = True
) -> nn.Sequential:
    """Return a convolution that keeps or halves the side (stride 1 or 2), its norm, and a leaky ReLU."""
    conv = nn.Conv2d(cin, cout, kernel or (4 if stride == 2 else 3), stride=stride, padding=1)
    layers: list[nn.Module] = [spectral_norm(conv) if norm == "spectral" else conv]
    if norm_after and norm == "batch":
        layers.append(nn.BatchNorm2d(cout))
    return nn.Sequential(*layers, nn.LeakyReLU(0.2, inplace=True))


def check_pictures(name: str, pictures: Tensor, *, least: int, channels: int = 3) -> None:
    """Raise a ShapeError, which starts with `name`, unless pictures are (B, channels, H, W) of at least `least` px."""
    if pictures.ndim != 4 or pictures.shape[1] != channels or min(pictures.shape[-2:]) < least:
        raise ShapeError(
            f"{name} shape {tuple(pictures.shape)}, expected (B, {channels}, H, W) of at least {least} px."
        )


class MinibatchDiscrimination(nn.Module):
    """Appends the similarity to the rest of the batch to each picture's features (Salimans et al. 2016, section 3.2).

    A trained tensor T (A, B, C) maps the features to B points M_b with C coordinates. Picture i gets o_b = sum over j
    of exp(-|M_ib - M_jb|_1), from 1 (alone) to the batch size (all equal); j = i counts, as in the paper. Initially,
    the distance for features of unit variance is about one for any A and C, where exp(-x) has a useful slope.
    """

    def __init__(self, features: int, kernels: int = 100, dims: int = 5) -> None:
        """Set A, B and C; the defaults are those of the paper's code."""
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(features, kernels, dims) / (dims * features**0.5))

    def forward(self, features: Tensor) -> Tensor:
        """Append the similarities to the features of N pictures: (N, A) -> (N, A + B), in the features' dtype."""
        count, kernels, dims = self.kernel.shape
        if features.ndim != 2 or features.shape[1] != count:
            raise ShapeError(
                f"MinibatchDiscrimination: features have shape {tuple(features.shape)}, expected (N, {count})."
            )
        points = (features @ self.kernel.flatten(1).to(features.dtype)).float().view(-1, kernels, dims)  # (N, B, C)
        distances = (points[:, None] - points).abs().sum(dim=3)  # (N, N, B)
        similarity = torch.exp(-distances).sum(dim=1)  # (N, B)
        return torch.cat([features, similarity.to(features.dtype)], dim=1)


class MinibatchStddev(nn.Module):
    """Appends a channel with the standard deviation over a group of pictures, averaged over channels and pixels.

    It shows a discriminator that all pictures are similar (Karras et al. 2018). The last group may be smaller.
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
