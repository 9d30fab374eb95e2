"""The J-net: it encodes a 32 px tile and its guide down to 1x1, and decodes it up to 256 px, without batchnorm."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field, PositiveInt, model_validator
from torch import Tensor, nn

from facegen.errors import ShapeError
from facegen.ops.color import luma

Base = Literal["bicubic", "none"]
LEAK = 0.2
GAIN = 2 / (1 + LEAK**2)
"""Factor of the variance in He's rule, which compensates for a leaky ReLU."""
RESIDUAL_GAIN = 0.3
"""Factor of the residual that is added to the bicubic base, so that one Adam step of the last layer changes colours
little. Otherwise the first steps overshoot, and their gradients stall Adam for a thousand steps."""


class JNetConfig(BaseModel, extra="forbid", frozen=True):
    """The shape of a `JNet`, stored in the card of its weights. Tuples go from coarse to fine."""

    in_channels: int = Field(default=6, ge=3)
    """RGB, the planes of the guide, and that of the strength."""
    strength: bool = False
    """The last plane is the strength of the picture's damage, from 0 to 1."""
    tile: int = Field(default=32, ge=4)
    """Side of an input tile; a power of two, as the encoder halves it down to 1x1."""
    scale: int = Field(default=8, ge=2)
    """Enlargement; a power of two."""
    decoder_widths: tuple[PositiveInt, ...] = (256, 256, 256, 192, 160, 96, 48, 16)
    """Channels at 2, 4, 8, ... px, up to tile x scale."""
    decoder_depths: tuple[PositiveInt, ...] = (1, 1, 2, 2, 4, 2, 2, 1)
    """3x3 convolutions after each doubling; the original has two everywhere."""
    trunk: int = Field(default=0, ge=0)
    """Residual blocks at the side of the tile, where they cost least per output pixel; they start as the identity."""
    encoder_width: float = Field(default=0.25, gt=0, le=1)
    """Channels of the encoder relative to the decoder's at the same side."""
    upsample: Literal["nearest", "deconv"] = "nearest"
    """"deconv" is the original's; "nearest" (1x1 convolution, nearest, 3x3) leaves no checkerboard."""
    norm: Literal["none", "batch"] = "none"
    """"batch" normalises after every convolution but the encoder's first and last and the output's, for comparison;
    with "none" a tile does not depend on its batch."""
    base: Base = "bicubic"
    """Added to the network's output; "none", with a sigmoid, is the original's."""
    chroma: int = Field(default=1, ge=1)
    """Side in pixels of the squares of the output with the same chroma; a power of two. JPEG and WebP store chroma at 2
    (4:2:0), so finer chroma cannot be learned from them; 1 has chroma as fine as luma."""

    @model_validator(mode="after")
    def _levels_fit(self) -> JNetConfig:
        levels = math.log2(self.tile * self.scale)
        if levels != int(levels) or self.tile & (self.tile - 1):
            raise ValueError(f"tile {self.tile} and scale {self.scale} must be powers of two")
        for name in ("decoder_widths", "decoder_depths"):
            if len(getattr(self, name)) != levels:
                raise ValueError(f"{name} has {len(getattr(self, name))} entries, expected {int(levels)}")
        drawn = self.tile * self.scale
        if self.chroma & (self.chroma - 1) or self.chroma > drawn:
            raise ValueError(f"chroma {self.chroma} must be a power of two, at most the {drawn} px drawn")
        if self.chroma > 1 and self.base == "none":
            raise ValueError('chroma above 1 is for what is added to base "bicubic"')
        return self

    @property
    def encoder_widths(self) -> tuple[int, ...]:
        """Channels of the encoder at tile/2, tile/4, ..., 1 px."""
        steps = int(math.log2(self.tile))
        widths = self.decoder_widths[: steps - 1][::-1]  # the decoder's at tile/2 ... 2
        return tuple(max(16, int(w * self.encoder_width)) for w in (*widths, self.decoder_widths[0]))


def _he(weight: Tensor, *, fan_in: int, share: float = 1.0) -> None:
    """Draw normal weights that keep the variance, times `share`, through a leaky ReLU."""
    with torch.no_grad():
        weight.normal_(0, math.sqrt(share * GAIN / fan_in))


def he_init(module: nn.Module) -> None:
    """Initialise a convolution by He's rule; PyTorch's default is too small for a deep network without batchnorm."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        taps = module.kernel_size[0] * module.kernel_size[1]
        if isinstance(module, nn.ConvTranspose2d):
            taps //= module.stride[0] * module.stride[1]  # each output pixel gets only these taps
        _he(module.weight, fan_in=module.in_channels * taps)
        assert module.bias is not None
        nn.init.zeros_(module.bias)


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def _bicubic_matrix(side: int, scale: int, device: torch.device) -> Tensor:
    """(s*n, n): bicubic interpolation along an axis."""
    rows = F.interpolate(torch.eye(side)[None, None], size=(scale * side, side), mode="bicubic", align_corners=False)
    return rows[0, 0].to(device)


def enlarge_tiles(tiles: Tensor, scale: int) -> Tensor:
    """Enlarge small (B, C, h, w) as `enlarge` does, but ten times as fast, by two matrix products."""
    down, across = (_bicubic_matrix(side, scale, tiles.device) for side in tiles.shape[2:])
    with torch.autocast(tiles.device.type, enabled=False):
        enlarged: Tensor = down @ tiles.float().contiguous() @ across.T
    return enlarged


def coarsen_chroma(images: Tensor, side: int) -> Tensor:
    """Replace the chroma of (B, 3, H, W) by means over squares of `side` px, interpolated linearly; luma stays."""
    if side == 1:
        return images
    bright = luma(images)[:, None]
    means = F.avg_pool2d(images - bright, side)
    return bright + F.interpolate(means, scale_factor=side, mode="bilinear", align_corners=False)


def _conv(cin: int, cout: int) -> nn.Conv2d:
    return nn.Conv2d(cin, cout, 3, padding=1)


def _activation() -> nn.Module:
    return nn.LeakyReLU(LEAK, inplace=True)


def _norm(norm: str, width: int) -> nn.Module:
    return nn.BatchNorm2d(width) if norm == "batch" else nn.Identity()


class UpBlock(nn.Module):
    """Double the side, concatenate the skip, and convolve `depth` times, after the first time with a residual."""

    def __init__(self, *, cin: int, skip: int, cout: int, depth: int, upsample: str, norm: str) -> None:
        super().__init__()
        if upsample == "deconv":
            self.up: nn.Module = nn.ConvTranspose2d(cin, cout, 4, stride=2, padding=1)
        else:
            self.up = nn.Sequential(nn.Conv2d(cin, cout, 1), nn.Upsample(scale_factor=2, mode="nearest"))
        self.first = _conv(cout + skip, cout)
        self.rest = nn.ModuleList(_conv(cout, cout) for _ in range(depth - 1))
        self.norms = nn.ModuleList(_norm(norm, cout) for _ in range(depth))
        self.upsample = upsample
        self.act = _activation()
        self._initialise(skip)

    def _initialise(self, skip: int) -> None:
        """Initialise by He's rule, with half of the variance from the skip, however few channels it has.

        Otherwise the bottleneck, which has no spatial detail, would dominate.
        """
        self.apply(he_init)
        if isinstance(self.up, nn.Sequential):
            next(self.up.parameters()).data.mul_(GAIN**-0.5)  # no activation follows
        if skip:
            up = self.first.in_channels - skip
            for part, fan in ((self.first.weight[:, :up], up), (self.first.weight[:, up:], skip)):
                _he(part, fan_in=9 * fan, share=0.5)
        for conv in self.rest:
            next(conv.parameters()).data.mul_(0.3)  # residual branches start small

    def forward(self, x: Tensor, skip: Tensor | None) -> Tensor:
        x = self.up(x)
        if self.upsample == "deconv":
            x = self.act(x)
        if skip is not None:
            x = torch.cat([x, skip], dim=1)
        first, *others = self.norms
        x = self.act(first(self.first(x)))
        for conv, norm in zip(self.rest, others, strict=True):
            x = self.act(x + norm(conv(x)))
        return x


class Residual(nn.Module):
    """Adds the output of its layers to their input."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.branch = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = x + self.branch(x)
        return total


def _trunk_block(width: int) -> Residual:
    """Return a residual block of two 3x3 convolutions (Lim et al. 2017, EDSR) that starts as the identity."""
    block = Residual(_conv(width, width), _activation(), _conv(width, width)).apply(he_init)
    nn.init.zeros_(next(block.branch[2].parameters()))
    return block


class JNet(nn.Module):
    """Upscales tiles by `config.scale`: an encoder to 1x1, and a decoder with skips at every side up to the input's."""

    def __init__(self, config: JNetConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk_index = len(config.encoder_widths) - 1  # of the decoder's block whose maps have the tile's side
        down = (config.in_channels, *config.encoder_widths)
        self.encoder = nn.ModuleList(nn.Conv2d(a, b, 4, stride=2, padding=1) for a, b in pairwise(down))
        ends = (1, len(down) - 1)
        self.encoder_norms = nn.ModuleList(
            _norm("none" if i in ends else config.norm, width) for i, width in enumerate(down) if i
        )
        skips = list(down[:-1][::-1]) + [0] * (len(config.decoder_widths) - len(down) + 1)
        cins = (down[-1], *config.decoder_widths[:-1])
        self.decoder = nn.ModuleList(
            UpBlock(cin=cin, skip=skip, cout=cout, depth=depth, upsample=config.upsample, norm=config.norm)
            for cin, skip, cout, depth in zip(cins, skips, config.decoder_widths, config.decoder_depths, strict=True)
        )
        width = config.decoder_widths[self.trunk_index]
        self.trunk = nn.Sequential(*(_trunk_block(width) for _ in range(config.trunk)))
        self.to_rgb = nn.Conv2d(config.decoder_widths[-1], 3, 3, padding=1)
        self.act = _activation()
        self.encoder.apply(he_init)
        he_init(self.to_rgb)
        self.to_rgb.weight.data.mul_(0.0 if config.base == "bicubic" else 0.02)  # starts as the base, or grey

    def forward(self, stack: Tensor) -> Tensor:
        """Upscale tiles, or larger pictures, whose innermost map has more than one pixel.

        Args:
            stack: (B, in_channels, h, w) in [0, 1]: RGB, then the guide, then the strength; h and w are multiples of
                the side of a tile.
        Returns:
            (B, 3, scale*h, scale*w), near [0, 1] but not clamped.
        Raises:
            ShapeError: if the stack has another shape.
        """
        c = self.config
        if stack.ndim != 4 or stack.shape[1] != c.in_channels or any(n % c.tile or not n for n in stack.shape[2:]):
            raise ShapeError(
                f"JNet: stack has shape {tuple(stack.shape)}, expected (B, {c.in_channels}, h, w) "
                f"with h and w multiples of {c.tile}."
            )
        skips = [stack * 2 - 1]
        for conv, norm in zip(self.encoder, self.encoder_norms, strict=True):
            skips.append(self.act(norm(conv(skips[-1]))))  # (B, w, h/2^i, w/2^i)
        x = skips.pop()
        for i, block in enumerate(self.decoder):
            x = block(x, skips.pop() if skips else None)
            if i == self.trunk_index:
                x = self.trunk(x)  # (B, w, h, w)
        out: Tensor = coarsen_chroma(self.to_rgb(x).float(), c.chroma)
        if c.base == "none":
            return torch.sigmoid(out)
        return enlarge_tiles(stack[:, :3], c.scale) + RESIDUAL_GAIN * out


def enlarge(low_res: Tensor, scale: int) -> Tensor:
    """Enlarge (B, C, h, w) to (B, C, scale*h, scale*w) float32, bicubic; values may leave [0, 1] a little."""
    return F.interpolate(low_res.float(), scale_factor=scale, mode="bicubic", align_corners=False)


def on_base(out: Tensor, low_res: Tensor, base: Base) -> Tensor:
    """Convert a network's last map, (B, 3, s*h, s*w), to a float32 picture near [0, 1].

    "bicubic" adds the map to the enlarged `low_res`, (B, 3, h, w) in [0, 1]; "none" returns (tanh(map) + 1) / 2.
    """
    if base == "none":
        return torch.tanh(out.float()).add(1).div(2)
    return enlarge(low_res, out.shape[-1] // low_res.shape[-1]) + RESIDUAL_GAIN * out.float()
