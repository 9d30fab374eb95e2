"""Training pictures, held in memory as uint8. (seed, number) determines an item, so a run resumes exactly."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field
from torch import Tensor

from facegen.arrays import RGB
from facegen.data.split import Warn, load_square, readable
from facegen.errors import TrainingError
from facegen.media.images import resize
from facegen.training.damage import Colours, in_8_bits
from facegen.training.random import ItemDraws


def shuffled(count: int, seed: int, start: int, number: int) -> list[int]:
    """Items start, start+1, ... of an endless order of `count` items: each epoch is a new permutation, by the seed."""
    return [_epoch(count, seed, i // count)[i % count] for i in range(start, start + number)]


@lru_cache(maxsize=4)
def _epoch(count: int, seed: int, epoch: int) -> list[int]:
    order: list[int] = np.random.default_rng((seed, epoch)).permutation(count).tolist()
    return order


class FaceDataset:
    """Whole aligned faces for stage 1, mirrored at random; they are kept as uint8 on the training device."""

    def __init__(
        self, files: Sequence[Path], side: int, seed: int, device: torch.device | str = "cpu", warn: Warn = print
    ) -> None:
        pictures, self.files = load_square(files, side, warn)
        self.pictures = torch.from_numpy(pictures).to(device)
        self.seed = seed

    def batch(self, start: int, size: int) -> Tensor:
        """Items start, start+1, ... of the training order: (size, 3, side, side) in [-1, 1]."""
        device = self.pictures.device
        index = torch.tensor(shuffled(len(self.pictures), self.seed, start, size)).to(device, non_blocking=True)
        picked = self.pictures[index].permute(0, 3, 1, 2)
        flip = ItemDraws(self.seed, torch.arange(start, start + size, device=device)).chance(0.5, 1, 1, 1)
        return torch.where(flip, picked.flip(3), picked).float().div(127.5).sub(1)


Reduction = Literal["bicubic", "area"]


class PairConfig(BaseModel, extra="forbid", frozen=True):
    """How a high-res crop is cut, and how it is reduced to its low-res side."""

    crop: int = Field(default=96, ge=8)
    """Side of the high-res crop; a multiple of the scale."""
    reduction: Reduction = "bicubic"
    """"bicubic" (antialiased) or "area" (the mean over each pixel's area)."""
    zoom_max: float = Field(default=1.0, ge=1)
    """Half of the crops are cut up to this many times larger and shrunk."""
    recolour: float = Field(default=0.0, ge=0, lt=1)
    """Range of random gain, contrast and saturation, the same on both sides."""
    quarter_turns: bool = False
    """Turn crops by 0, 90, 180 or 270 degrees; for pictures without a natural up and down."""


def reduce(high_res: Tensor, scale: int, reduction: Reduction) -> Tensor:
    """(B, 3, s*h, s*w) in [0, 1] to (B, 3, h, w), rounded to the 256 levels of a picture file."""
    if reduction == "area":
        low = F.avg_pool2d(high_res, scale)
    else:
        size = [n // scale for n in high_res.shape[-2:]]
        low = F.interpolate(high_res, size=size, mode="bicubic", antialias=True, align_corners=False)
    return in_8_bits(low.clamp(0, 1))


class PairDataset:
    """(low_res, high_res) crops from pictures of any shape, at every offset, mirrored at random."""

    def __init__(
        self,
        files: Sequence[Path],
        *,
        side: int,
        scale: int,
        config: PairConfig,
        seed: int,
        device: torch.device | str = "cpu",
        warn: Warn = print,
    ) -> None:
        """Read the pictures, and reduce those whose shorter side exceeds `side` to it; kept as uint8 on the device."""
        self.scale, self.config, self.seed = scale, config, seed
        pictures, self.files = _load(files, side, config.crop, warn)
        self.pictures = [torch.from_numpy(picture).to(device) for picture in pictures]

    def batch(self, start: int, size: int) -> tuple[Tensor, Tensor]:
        """Items start, start+1, ...: (size, 3, crop/s, crop/s) and (size, 3, crop, crop), both in [0, 1]."""
        c, items = self.config, torch.arange(start, start + size)
        places = ItemDraws(2 * self.seed + 1, items)
        zooms = torch.where(places.chance(0.5), torch.ones(size), places.uniform(low=1.0, high=c.zoom_max)).tolist()
        corners, turns = places.uniform(2).tolist(), places.integers(4 if c.quarter_turns else 1).tolist()
        picked = [self.pictures[i] for i in shuffled(len(self.pictures), self.seed, start, size)]
        crops = [self._crop(*item) for item in zip(picked, zooms, corners, turns, strict=True)]
        high = torch.stack(crops)
        colours = ItemDraws(2 * self.seed, items.to(high.device))
        high = torch.where(colours.chance(0.5, 1, 1, 1), high.flip(3), high)
        high = Colours(colours, c.recolour, 0.0)(high) if c.recolour else high
        return reduce(high, self.scale, c.reduction), high

    def _crop(self, picture: Tensor, zoom: float, corner: tuple[float, float], turns: int) -> Tensor:
        """(3, crop, crop) in [0, 1]; `corner`, top and left, is in shares of the possible range."""
        crop, (height, width) = self.config.crop, picture.shape[:2]
        cut = min(round(crop * zoom), height, width)
        top, left = (int(share * (n - cut + 1)) for share, n in zip(corner, (height, width), strict=True))
        region = picture[None, top : top + cut, left : left + cut]
        step = torch.tensor([cut / crop], device=region.device)
        shrunk = area_means(region, torch.zeros_like(step), step, crop)[0].permute(2, 0, 1)
        return torch.rot90(shrunk, turns, (1, 2))


def area_means(pictures: Tensor, start: Tensor, step: Tensor, out: int) -> Tensor:
    """Shrink square pictures by means over square areas whose borders may cut pixels.

    Args:
        pictures: (B, n, n, C) uint8.
        start: (B,) pixels before the first area, in rows and in columns.
        step: (B,) side of an area, in pixels.
    Returns:
        (B, out, out, C) in [0, 1].
    """
    edges = (start[:, None] + step[:, None] * torch.arange(out + 1, device=start.device)).clamp(0, pictures.shape[1])
    scale = step.view(-1, 1, 1, 1)
    rows = _sums_up_to(pictures.cumsum(1, dtype=torch.int32), edges).diff(dim=1) / (255 * scale)
    means = _sums_up_to(rows.transpose(1, 2).cumsum(1), edges).diff(dim=1).transpose(1, 2) / scale
    return means.clamp(0, 1)  # differences of sums have rounding errors


def _sums_up_to(sums: Tensor, edges: Tensor) -> Tensor:
    """Interpolate cumulative sums, (B, n, m, C), at (B, k) edges: the sums over all before each, (B, k, m, C)."""
    b, last = torch.arange(len(sums), device=sums.device)[:, None], sums.shape[1] - 1
    floor = edges.long()
    before = sums[b, (floor - 1).clamp(min=0)].float() * (floor > 0)[:, :, None, None]
    return torch.lerp(before, sums[b, floor.clamp(max=last)].float(), (edges - floor)[:, :, None, None])


def _load(files: Sequence[Path], side: int, least: int, warn: Warn) -> tuple[list[RGB], list[Path]]:
    """Read pictures as (H, W, 3) uint8, with their files; report and omit unreadable and too small ones."""
    pictures, kept = [], []
    for file, rgb in readable(files, warn):
        height, width = rgb.shape[:2]
        shorter = min(height, width)
        if shorter < least:
            warn(f"{file}: {width}x{height} is smaller than the crop of {least} px. Left out.")
            continue
        if shorter > side:
            rgb = resize(rgb, (round(width * side / shorter), round(height * side / shorter)))
        pictures.append(rgb)
        kept.append(file)
    if not pictures:
        raise TrainingError(f"None of the {len(files)} pictures could be used.")
    return pictures, kept
