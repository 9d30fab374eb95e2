"""A super-resolution U-net like pix2pix's (Isola et al. 2017), and a PatchGAN with any number of patches."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, cast

import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field, PositiveInt
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from facegen.errors import ShapeError
from facegen.models.discriminators import MinibatchDiscrimination, Norm, check_pictures, patch_conv
from facegen.models.jnet import Base, he_init, on_base

BatchNorm = Literal["batch", "none"]


class UNetConfig(BaseModel, extra="forbid", frozen=True):
    """The shape of a `UNet`, stored in the card of its weights."""

    scale: Literal[1, 2, 4, 8] = 2
    """Enlargement, with an outer upsampling layer for each factor of two; 1 is an autoencoder."""
    widths: tuple[PositiveInt, ...] = Field(default=(64, 128, 256, 512, 512, 512), min_length=1)
    """Channels after each halving of the low-res picture; six entries halve 64 px down to 1."""
    outer_width: int = Field(default=64, ge=1)
    """Channels at the low-res side and above."""
    depth: int = Field(default=0, ge=0)
    """3x3 convolutions after each doubling; pix2pix has none."""
    skips: bool = True
    """Concatenate the encoder's map of the same side after each doubling."""
    upsample: Literal["deconv", "nearest"] = "deconv"
    """"deconv" is pix2pix's; "nearest", then a 3x3 convolution, leaves no checkerboard."""
    norm: BatchNorm = "batch"
    """"batch" is pix2pix's."""
    base: Base = "none"
    """"bicubic" adds the output to the enlarged input; "none", with a tanh, is pix2pix's."""


class UNet(nn.Module):
    """Halves the picture down to the innermost map, and doubles it up to `scale` times its side.

    Unlike pix2pix it has no dropout, with which a run could not be resumed exactly.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        down, last = (3, *config.widths), len(config.widths) - 1
        self.encoder = nn.ModuleList(
            patch_conv(a, b, config.norm, stride=2, norm_after=0 < i < last) for i, (a, b) in enumerate(pairwise(down))
        )
        beyond = config.scale.bit_length() - 1
        couts = (*config.widths[-2::-1], *(config.outer_width,) * (1 + beyond))
        skips = (*(down[-2::-1] if config.skips else (0,) * len(config.widths)), *(0,) * beyond)
        cins = (config.widths[-1], *(cout + skip for cout, skip in zip(couts, skips, strict=True)))
        self.decoder = nn.ModuleList(_doubling(cin, cout, config) for cin, cout in zip(cins, couts, strict=False))
        self.to_rgb = nn.Conv2d(cins[-1], 3, 3, padding=1)
        self.apply(he_init)
        self.to_rgb.weight.data.mul_(0.0 if config.base == "bicubic" else 0.02)  # starts as the base, or grey

    def forward(self, low_res: Tensor) -> Tensor:
        """Upscale (B, 3, h, w) of any size in [0, 1] to (B, 3, scale*h, scale*w), near [0, 1] but not clamped."""
        if low_res.ndim != 4 or low_res.shape[1] != 3 or 0 in low_res.shape:
            raise ShapeError(f"UNet: low_res has shape {tuple(low_res.shape)}, expected (B, 3, h, w).")
        height, width = low_res.shape[-2:]
        step = 2 ** len(self.config.widths)
        maps = [F.pad(low_res * 2 - 1, (0, -width % step, 0, -height % step), mode="replicate")]  # to halve evenly
        for conv in self.encoder:
            maps.append(conv(maps[-1]))  # (B, w, h/2^i, w/2^i)
        x = maps.pop()
        for double in self.decoder:
            x = double(x)
            if maps and self.config.skips:
                x = torch.cat([x, maps.pop()], dim=1)
        out = self.to_rgb(x)[..., : height * self.config.scale, : width * self.config.scale]
        return on_base(out, low_res, self.config.base)


class GridConfig(BaseModel, extra="forbid", frozen=True):
    """The shape of a `GridDiscriminator`, stored in the card of its weights."""

    widths: tuple[PositiveInt, ...] = Field(default=(64, 128, 256, 512, 512), min_length=1)
    """Channels after each halving; five entries give a 4 x 4 grid for a 128 px picture, three a 16 x 16 grid."""
    norm: Norm = "batch"
    """"batch" is pix2pix's."""
    condition: bool = True
    """The discriminator also gets the enlarged low-res picture, as in pix2pix."""
    discrimination: int = Field(default=0, ge=0)
    """Kernels of minibatch discrimination (Salimans et al. 2016) before the last layer; 0 omits it."""


class GridDiscriminator(nn.Module):
    """pix2pix's PatchGAN, with one logit per pixel of the map after the last halving."""

    def __init__(self, config: GridConfig) -> None:
        super().__init__()
        self.config = config
        widths = (6 if config.condition else 3, *config.widths)
        self.maps = nn.Sequential(
            *(patch_conv(a, b, config.norm, stride=2, norm_after=i > 0) for i, (a, b) in enumerate(pairwise(widths)))
        )
        self.batch = MinibatchDiscrimination(widths[-1], config.discrimination) if config.discrimination else None
        last = nn.Conv2d(widths[-1] + config.discrimination, 1, 3, padding=1)
        self.logits = spectral_norm(last) if config.norm == "spectral" else last

    def forward(self, seen: Tensor) -> Tensor:
        """Rate the cells of pictures: (B, 1, H / 2^n, W / 2^n) logits for n widths, high where a picture looks real.

        Args:
            seen: (B, 6, H, W) in [-1, 1], the picture and the enlarged low-res one; without `condition` (B, 3, H, W).
        """
        x = self.activations(seen)[0]
        if self.batch is not None:
            similarity = self.batch(x.mean(dim=(2, 3)))[:, x.shape[1] :]  # (B, kernels)
            x = torch.cat([x, similarity[:, :, None, None].expand(-1, -1, *x.shape[2:])], dim=1)
        return cast(Tensor, self.logits(x))

    def activations(self, seen: Tensor) -> list[Tensor]:
        """Return the last layer's input, without the similarities: a list with one (B, C, H / 2^n, W / 2^n) map."""
        planes, least = 6 if self.config.condition else 3, 2 ** len(self.config.widths)
        check_pictures("GridDiscriminator: seen has", seen, least=least, channels=planes)
        return [self.maps(seen)]


def _doubling(cin: int, cout: int, config: UNetConfig) -> nn.Sequential:
    if config.upsample == "deconv":
        layers: list[nn.Module] = [nn.ConvTranspose2d(cin, cout, 4, stride=2, padding=1)]
    else:
        layers = [nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(cin, cout, 3, padding=1)]
    for i in range(1 + config.depth):
        if i:
            layers.append(nn.Conv2d(cout, cout, 3, padding=1))
        if config.norm == "batch":
            layers.append(nn.BatchNorm2d(cout))
        layers.append(nn.LeakyReLU(0.2, inplace=True))
    return nn.Sequential(*layers)
