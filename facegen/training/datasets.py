"""Training pictures, held in memory as uint8. An item is known from (seed, number), so a run resumes exactly."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from torch import Tensor

from facegen.arrays import RGB
from facegen.data.split import Warn, load_square, readable
from facegen.errors import TrainingError
from facegen.faces.align import Points
from facegen.faces.guide import GuideMode, paint_guide
from facegen.faces.landmarks import landmarks_in_head
from facegen.media.images import resize
from facegen.ops.damage import aged, damage
from facegen.ops.degradation import degrade, in_8_bits, recolour

Array = NDArray[np.float32]
Scalar = TypeVar("Scalar", bound=np.generic)
MARGIN = 16
"""Low-res pixels around a tile that are damaged with it, so that blur and blocks at its border are what they are in a
photo."""
OLD = 1 / 3
"""Share of tiles with an old photo's colours where tiles are damaged."""


class Order:
    """An endless shuffled order of `count` items: a new permutation each epoch, known from the seed alone."""

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed = count, seed
        self._cached: tuple[int, list[int]] = (-1, [])

    def take(self, start: int, number: int) -> list[int]:
        """Items start, start+1, ... of the endless order."""
        return [self._epoch(i // self.count)[i % self.count] for i in range(start, start + number)]

    def _epoch(self, epoch: int) -> list[int]:
        known, order = self._cached  # several threads may ask at once
        if known != epoch:
            order = np.random.default_rng((self.seed, epoch)).permutation(self.count).tolist()
            self._cached = (epoch, order)
        return order


class FaceDataset:
    """Whole aligned faces for stage 1, mirrored at random."""

    def __init__(self, files: Sequence[Path], side: int, seed: int, warn: Warn = print) -> None:
        self.pictures, self.files = load_square(files, side, warn)
        self.order, self.seed = Order(len(self.pictures), seed), seed

    def batch(self, start: int, size: int) -> Tensor:
        """Items start, start+1, ... of the training order: (size, 3, side, side) in [-1, 1]."""
        picked = self.pictures[self.order.take(start, size)]
        flip = [bool(np.random.default_rng((self.seed, 1, item)).random() < 0.5) for item in range(start, start + size)]
        picked[flip] = picked[flip, :, ::-1]
        return torch.from_numpy(picked).permute(0, 3, 1, 2).float().div(127.5).sub(1)


class TileConfig(BaseModel, extra="forbid", frozen=True):
    """How stage 2 tiles are cut, and how their low-res side is degraded."""

    zoom_max: float = Field(default=1.5, ge=1)
    """Half of the tiles are cut up to this many times larger and shrunk, so that smaller heads are known too."""
    degrade: float = Field(default=1.0, ge=0, le=1)
    """Strength of blur, noise and JPEG on some of the low-res tiles."""
    degraded: float = Field(default=0.5, ge=0, le=1)
    """Share of the tiles that may be degraded."""
    damage: float = Field(default=0.0, ge=0, le=1)
    """Share of the tiles whose low-res side is damaged as photos are, at a strength from 0 to 1; a third of all tiles
    then have an old photo's colours, on both sides."""
    recolour: float = Field(default=0.15, ge=0, lt=1)
    """Range of random gain, contrast and saturation, the same on both sides."""
    guide_dropout: float = Field(default=0.15, ge=0, le=1)
    """Share of tiles with an empty guide, so that a face that is not found does no harm."""
    guide_jitter: float = Field(default=0.004, ge=0)
    """Standard deviation of noise on the landmarks, as a share of the head's side."""


class TileDataset:
    """(stack, high-res tile) pairs for stage 2, cut at every offset from aligned portraits.

    `strength` adds a plane to the stacks, of how much their low-res side is damaged. `landmarks` are those known by
    file, as `known_landmarks` gives them; those of other files are detected.
    """

    def __init__(
        self,
        files: Sequence[Path],
        *,
        side: int,
        tile: int,
        scale: int,
        guide: GuideMode,
        config: TileConfig,
        seed: int,
        strength: bool = False,
        landmarks: Mapping[Path, Points] | None = None,
        warn: Warn = print,
    ) -> None:
        self.pictures, self.files = load_square(files, side, warn)
        known = {file: points * side for file, points in (landmarks or {}).items()}
        self.points = [
            known[file] if file in known else landmarks_in_head(picture).points
            for file, picture in zip(self.files, self.pictures, strict=True)
        ]
        self.tile, self.scale, self.guide, self.config, self.strength = tile, scale, guide, config, strength
        self.order, self.seed = Order(len(self.pictures), seed), seed

    def batch(self, start: int, size: int) -> tuple[Tensor, Tensor]:
        """Items start, start+1, ...: stacks (size, C, tile, tile) and tiles (size, 3, s*tile, s*tile) in [0, 1]."""
        picked = zip(range(start, start + size), self.order.take(start, size), strict=True)
        pairs = [self._pair(picture, np.random.default_rng((self.seed, 2, item))) for item, picture in picked]
        stacks, tiles = (np.stack(side) for side in zip(*pairs, strict=True))
        return torch.from_numpy(stacks).permute(0, 3, 1, 2), torch.from_numpy(tiles).permute(0, 3, 1, 2)

    def _pair(self, index: int, rng: np.random.Generator) -> tuple[Array, Array]:
        c, picture, points = self.config, self.pictures[index], self.points[index]
        out, side = self.tile * self.scale, self.pictures.shape[1]
        zoom = 1.0 if rng.random() < 0.5 else rng.uniform(1, c.zoom_max)
        cut = min(round(out * zoom), side)
        top, left = (int(n) for n in rng.integers(0, side - cut + 1, 2))
        margin = round(cut * MARGIN / self.tile) if c.damage else 0
        region = _with_margin(picture, top, left, cut, margin)
        points = points + rng.normal(0, c.guide_jitter * side, (1, 2)) - (left, top)
        points = points + rng.normal(0, c.guide_jitter * side / 2, points.shape)
        if rng.random() < 0.5:
            region, points = np.asarray(cv2.flip(region, 1), np.uint8), points * (-1, 1) + (cut, 0)
        colours = self._colours(rng)
        tile = colours(_shrink(_unit(_middle(region, cut)), out))
        present = rng.random() >= c.guide_dropout  # an absent guide has the same planes, empty
        guide = _unit(paint_guide(points * (self.tile / cut), self.tile, self.guide, present=present))
        strength = rng.random() if c.damage and rng.random() < c.damage else 0.0
        if strength:
            around = colours(_unit(_shrink(region, self.tile + 2 * MARGIN)))
            low = _middle(damage(around, rng, strength), self.tile)
        else:
            low = in_8_bits(degrade(_shrink(tile, self.tile), rng, c.degrade, c.degraded))
        planes = [low, guide, *([np.full_like(low[..., :1], strength)] if self.strength else [])]
        return np.concatenate(planes, axis=2), tile

    def _colours(self, rng: np.random.Generator) -> Callable[[Array], Array]:
        """A change of colours at random, the same for any picture."""
        gain, contrast, saturation = 1 + self.config.recolour * rng.uniform(-1, 1, 3)
        age = rng.integers(2**62) if self.config.damage and rng.random() < OLD else None

        def changed(image: Array) -> Array:
            image = recolour(image, gain=gain, contrast=contrast, saturation=saturation)
            return image if age is None else aged(image, np.random.default_rng(age))

        return changed


Reduction = Literal["bicubic", "area"]


class PairConfig(BaseModel, extra="forbid", frozen=True):
    """How a high-res crop is cut, and how it is reduced to its low-res side."""

    crop: int = Field(default=96, ge=8)
    """Side of the high-res crop; a multiple of the scale."""
    reduction: Reduction = "bicubic"
    """"bicubic", antialiased, or "area", the mean over each pixel's area."""
    zoom_max: float = Field(default=1.0, ge=1)
    """Half of the crops are cut up to this many times larger and shrunk."""
    recolour: float = Field(default=0.0, ge=0, lt=1)
    """Range of random gain, contrast and saturation, the same on both sides."""
    quarter_turns: bool = False
    """Turn crops by 0, 90, 180 or 270 degrees; for pictures that have no upright."""


def reduce(high_res: Tensor, scale: int, reduction: Reduction) -> Tensor:
    """(B, 3, s*h, s*w) in [0, 1] to (B, 3, h, w), rounded to the 256 steps of a picture file."""
    if reduction == "area":
        low = F.avg_pool2d(high_res, scale)
    else:
        size = [n // scale for n in high_res.shape[-2:]]
        low = F.interpolate(high_res, size=size, mode="bicubic", antialias=True, align_corners=False)
    return low.clamp(0, 1).mul(255).round().div(255)


class PairDataset:
    """(low_res, high_res) crops from pictures of any shape, at every offset, mirrored at random."""

    def __init__(
        self, files: Sequence[Path], *, side: int, scale: int, config: PairConfig, seed: int, warn: Warn = print
    ) -> None:
        """Read the pictures; those whose shorter side exceeds `side` are reduced to it."""
        self.scale, self.config, self.seed = scale, config, seed
        self.pictures, self.files = _load(files, side, config.crop, warn)
        self.order = Order(len(self.pictures), seed)

    def batch(self, start: int, size: int) -> tuple[Tensor, Tensor]:
        """Items start, start+1, ...: (size, 3, crop/s, crop/s) and (size, 3, crop, crop), both in [0, 1]."""
        picked = zip(range(start, start + size), self.order.take(start, size), strict=True)
        crops = np.stack([self._crop(picture, np.random.default_rng((self.seed, 3, item))) for item, picture in picked])
        high = torch.from_numpy(crops).permute(0, 3, 1, 2)
        return reduce(high, self.scale, self.config.reduction), high

    def _crop(self, index: int, rng: np.random.Generator) -> Array:
        c, picture = self.config, self.pictures[index]
        zoom = 1.0 if rng.random() < 0.5 else rng.uniform(1, c.zoom_max)
        cut = min(round(c.crop * zoom), *picture.shape[:2])
        top, left = (int(rng.integers(0, n - cut + 1)) for n in picture.shape[:2])
        region = picture[top : top + cut, left : left + cut]
        region = region[:, ::-1] if rng.random() < 0.5 else region
        turns = int(rng.integers(0, 4))
        region = np.ascontiguousarray(np.rot90(region, turns) if c.quarter_turns else region)
        unit = _unit(cv2.resize(region, (c.crop, c.crop), interpolation=cv2.INTER_AREA))
        gain, contrast, saturation = 1 + c.recolour * rng.uniform(-1, 1, 3)
        return recolour(unit, gain=gain, contrast=contrast, saturation=saturation) if c.recolour else unit


def _load(files: Sequence[Path], side: int, least: int, warn: Warn) -> tuple[list[RGB], list[Path]]:
    """Pictures as (H, W, 3) uint8, and their files; unreadable and too small ones are reported and omitted."""
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


def _unit(values: NDArray[Any]) -> Array:
    return np.asarray(np.divide(values, 255, dtype=np.float32))


def _with_margin(picture: RGB, top: int, left: int, cut: int, margin: int) -> RGB:
    """A square of the picture and a margin around it, mirrored where the picture ends."""
    bottom, right, side = top + cut, left + cut, picture.shape[0]
    inner = picture[max(top - margin, 0) : bottom + margin, max(left - margin, 0) : right + margin]
    before, after = (max(margin - n, 0) for n in (top, left)), (max(n + margin - side, 0) for n in (bottom, right))
    (above, beside), (below, beyond) = before, after
    return np.asarray(cv2.copyMakeBorder(inner, above, below, beside, beyond, cv2.BORDER_REFLECT_101), np.uint8)


def _middle(image: NDArray[Scalar], side: int) -> NDArray[Scalar]:
    start = (image.shape[0] - side) // 2
    return image[start : start + side, start : start + side]


def _shrink(image: NDArray[Scalar], side: int) -> NDArray[Scalar]:
    shrunk = cv2.resize(cast(Any, image), (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(shrunk, image.dtype)
