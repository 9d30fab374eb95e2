"""SRGAN (Ledig et al. 2017): a residual generator that works mainly at the low-res side, and its discriminator."""

from __future__ import annotations

from typing import Literal, cast

import torch.nn.functional as F
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from facegen.errors import ShapeError
from facegen.models.discriminators import Norm, check_pictures, patch_conv
from facegen.models.jnet import Base, Residual, on_base

BRANCH_GAIN = 0.1
"""Factor of He's initial weights in residual branches without batchnorm, as in ESRGAN (Wang et al. 2018)."""


class SRGANConfig(BaseModel, extra="forbid", frozen=True):
    """The shape of a `SRGANGenerator`, stored in the card of its weights."""

    scale: Literal[2, 4, 8] = 4
    """Enlargement, with an x2 step for each factor of two."""
    blocks: int = Field(default=16, ge=1)
    """Residual blocks, of two 3x3 convolutions each."""
    width: int = Field(default=64, ge=1)
    """Channels everywhere."""
    end_kernel: Literal[3, 5, 7, 9] = 9
    """Kernel side of the first and the last convolution; the time of the last grows with its square."""
    upsample: Literal["nearest", "pixelshuffle"] = "nearest"
    """"pixelshuffle" is the paper's sub-pixel convolution; "nearest", then a convolution, leaves no checkerboard."""
    padding: Literal["reflect", "zeros"] = "reflect"
    """"zeros" is the paper's; "reflect" leaves no frame around the picture."""
    norm: Literal["batch", "none"] = "batch"
    """"batch" is the paper's; "none" (Lim et al. 2017) upscales each picture independently, and is faster."""
    base: Base = "none"
    """"bicubic" adds the output to the enlarged input; "none", with a tanh, is the paper's."""
    match_histogram: bool = False
    """Match the histogram of each channel of the output to the low-res picture's."""


class PReLU(nn.PReLU):
    """PReLU in the dtype of its input, as mixed precision needs."""

    def forward(self, x: Tensor) -> Tensor:
        return F.prelu(x, self.weight.to(x.dtype))


class SRGANGenerator(nn.Module):
    """SRResNet: residual blocks under one long skip, then x2 steps."""

    def __init__(self, config: SRGANConfig) -> None:
        super().__init__()
        self.config = config
        width, ends = config.width, config.end_kernel
        self.head = nn.Sequential(_conv(config, 3, width, ends), PReLU(width))
        self.blocks = nn.Sequential(*(_block(config) for _ in range(config.blocks)))
        self.join = nn.Sequential(_conv(config, width, width), *_norm(config))
        self.ups = nn.Sequential(*(_up(config) for _ in range(config.scale.bit_length() - 1)))
        self.to_rgb = _conv(config, width, 3, ends)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=0.25)  # PReLU's slope at the start
                assert module.bias is not None
                nn.init.zeros_(module.bias)
        if self.config.norm == "none":
            for block in self.blocks:
                next(block.branch[-1].parameters()).data.mul_(BRANCH_GAIN)  # type: ignore[union-attr, index]
        self.to_rgb.weight.data.mul_(0.0 if self.config.base == "bicubic" else 0.02)  # starts as the base, or grey

    def forward(self, low_res: Tensor) -> Tensor:
        """Upscale (B, 3, h, w) in [0, 1] to (B, 3, scale*h, scale*w), near [0, 1] but not clamped."""
        least = self.config.end_kernel // 2 + 1
        if low_res.ndim != 4 or low_res.shape[1] != 3 or min(low_res.shape[-2:]) < least:
            raise ShapeError(
                f"SRGANGenerator: low_res has shape {tuple(low_res.shape)}, expected (B, 3, h, w) of at least "
                f"{least} px."
            )
        x = self.head(low_res * 2 - 1)  # (B, width, h, w)
        x = x + self.join(self.blocks(x))
        return on_base(self.to_rgb(self.ups(x)), low_res, self.config.base)


class SRGANDiscriminatorConfig(BaseModel, extra="forbid", frozen=True):
    """The shape of a `SRGANDiscriminator`, stored in the card of its weights."""

    width: int = Field(default=64, ge=1)
    """Channels of the first two convolutions; they double after every second one."""
    dense: int = Field(default=1024, ge=1)
    """Units of the first dense layer."""
    grid: int = Field(default=6, ge=1)
    """Side of the map before the dense layers: 6 px for a 96 px picture; other maps are averaged to it."""
    norm: Norm = "batch"
    """"batch" is the paper's."""
    condition: bool = False
    """The discriminator also gets the enlarged low-res picture, unlike the paper's."""


class SRGANDiscriminator(nn.Module):
    """Eight convolutions, all but the first with a norm, that halve the side four times, and two dense layers."""

    SMALLEST = 16

    def __init__(self, config: SRGANDiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        layers: list[nn.Module] = []
        cin = 6 if config.condition else 3
        for i in range(8):
            cout = config.width * 2 ** (i // 2)
            layers.append(patch_conv(cin, cout, config.norm if i else "none", stride=1 + i % 2, kernel=3))
            cin = cout
        self.maps = nn.Sequential(*layers)
        dense: list[nn.Module] = [nn.Linear(cin * config.grid**2, config.dense), nn.Linear(config.dense, 1)]
        if config.norm == "spectral":
            dense = [spectral_norm(layer) for layer in dense]
        self.logits = nn.Sequential(
            nn.AdaptiveAvgPool2d(config.grid), nn.Flatten(), dense[0], nn.LeakyReLU(0.2, inplace=True), dense[1]
        )

    def forward(self, seen: Tensor) -> Tensor:
        """Rate pictures: (B, 1) logits, higher for real ones.

        Args:
            seen: (B, 3, H, W) in [-1, 1] of at least 16 px; with `condition` (B, 6, H, W), the enlarged low-res picture
                second.
        """
        return cast(Tensor, self.logits(self.activations(seen)[0]))

    def activations(self, seen: Tensor) -> list[Tensor]:
        """Return the dense layers' input before averaging: a list with one (B, 8*width, H/16, W/16) map."""
        planes = 6 if self.config.condition else 3
        check_pictures("SRGANDiscriminator: seen has", seen, least=self.SMALLEST, channels=planes)
        return [self.maps(seen)]


def _conv(config: SRGANConfig, cin: int, cout: int, kernel: int = 3) -> nn.Conv2d:
    return nn.Conv2d(cin, cout, kernel, padding=kernel // 2, padding_mode=config.padding)


def _norm(config: SRGANConfig) -> list[nn.Module]:
    return [nn.BatchNorm2d(config.width)] if config.norm == "batch" else []


def _block(config: SRGANConfig) -> Residual:
    width = config.width
    return Residual(
        _conv(config, width, width), *_norm(config), PReLU(width), _conv(config, width, width), *_norm(config)
    )


def _up(config: SRGANConfig) -> nn.Sequential:
    """Return layers that double the side."""
    width = config.width
    if config.upsample == "pixelshuffle":
        return nn.Sequential(_conv(config, width, 4 * width), nn.PixelShuffle(2), PReLU(width))
    return nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), _conv(config, width, width), PReLU(width))
