"""Training pictures, held in memory as uint8; an item is known from (seed, number), so a run resumes exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from facegen.data.split import Warn, load_square
from facegen.faces.align import Points
from facegen.faces.guide import GUIDE_CHANNELS, GuideMode, paint_guide
from facegen.faces.landmarks import landmarks_in_head
from facegen.media.blocks import block_side
from facegen.ops.deblocking import deblock
from facegen.ops.degradation import degrade, in_8_bits, recolour


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
        self.order = Order(len(self.pictures), seed)
        self.seed = seed

    def __len__(self) -> int:
        return len(self.pictures)

    def batch(self, start: int, size: int) -> Tensor:
        """Items start, start+1, ... of the training order: (size, 3, side, side) in [-1, 1]."""
        picked = self.pictures[self.order.take(start, size)]
        flip = [bool(np.random.default_rng((self.seed, 1, item)).random() < 0.5) for item in range(start, start + size)]
        picked[flip] = picked[flip, :, ::-1]
        return torch.from_numpy(picked).permute(0, 3, 1, 2).float().div(127.5).sub(1)


class TileConfig(BaseModel):
    """How a stage 2 tile is cut and what is done to its low-res side."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    zoom_max: float = Field(default=1.5, ge=1)
    """Tiles are cut from up to this many times the tile's side and shrunk, so that smaller pictures are known too."""
    block: Literal["auto", 0, 4, 8] = "auto"
    """Side of the blocks that the pictures were compressed in, whose borders are smoothed; 0 for none. "auto" asks each
    file (4 for WebP, 8 for JPEG), unless it is not yet of the recipe's side: resized, it has no such blocks."""
    degrade: float = Field(default=1.0, ge=0, le=1)
    """Strength of blur, noise and JPEG on some of the low-res tiles."""
    degraded: float = Field(default=0.5, ge=0, le=1)
    """Share of the tiles that it may be done to."""
    recolour: float = Field(default=0.15, ge=0, lt=1)
    """Range of random gain, contrast and saturation, both sides alike."""
    guide_dropout: float = Field(default=0.15, ge=0, le=1)
    """Share of tiles with an empty guide, so that a face that is not found does no harm."""
    guide_jitter: float = Field(default=0.004, ge=0)
    """Standard deviation of noise on the landmarks, as a share of the head's side."""


class TileDataset:
    """(stack, high-res tile) pairs for stage 2, cut at every offset from aligned portraits.

    Args:
        landmarks: of those files of which they are known, as `known_landmarks` gives them; others are looked for.
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
        landmarks: Mapping[Path, Points] | None = None,
        warn: Warn = print,
    ) -> None:
        self.pictures, self.files = load_square(files, side, warn)
        known = {file: points * side for file, points in (landmarks or {}).items()}
        self.points = [
            known[file] if file in known else landmarks_in_head(picture).points
            for file, picture in zip(self.files, self.pictures, strict=True)
        ]
        self.blocks = [block_side(file, side) if config.block == "auto" else config.block for file in self.files]
        self.tile, self.scale, self.guide, self.config = tile, scale, guide, config
        self.order = Order(len(self.pictures), seed)
        self.seed = seed

    def __len__(self) -> int:
        return len(self.pictures)

    def batch(self, start: int, size: int) -> tuple[Tensor, Tensor]:
        """Items start, start+1, ... of the training order.

        Returns:
            stacks (size, 3+G, tile, tile) and tiles (size, 3, s*tile, s*tile), both in [0, 1].
        """
        picked = zip(range(start, start + size), self.order.take(start, size), strict=True)
        pairs = [self._pair(picture, np.random.default_rng((self.seed, 2, item))) for item, picture in picked]
        stacks, tiles = (np.stack(side) for side in zip(*pairs, strict=True))
        return torch.from_numpy(stacks).permute(0, 3, 1, 2), torch.from_numpy(tiles).permute(0, 3, 1, 2)

    def _pair(self, index: int, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        c, picture, points = self.config, self.pictures[index], self.points[index]
        out = self.tile * self.scale
        zoom = 1.0 if rng.random() < 0.5 else rng.uniform(1, c.zoom_max)
        cut = min(round(out * zoom), picture.shape[0])
        top, left = (int(n) for n in rng.integers(0, picture.shape[0] - cut + 1, 2))
        region = _unit(picture[top : top + cut, left : left + cut])
        block = self.blocks[index]
        region = deblock(region, block, (top, left)) if block else region
        points = points + rng.normal(0, c.guide_jitter * picture.shape[0], (1, 2)) - (left, top)
        points = points + rng.normal(0, c.guide_jitter * picture.shape[0] / 2, points.shape)
        if rng.random() < 0.5:
            region, points = region[:, ::-1], points * (-1, 1) + (cut, 0)
        high = np.asarray(
            cv2.resize(np.ascontiguousarray(region), (out, out), interpolation=cv2.INTER_AREA), np.float32
        )
        gain, contrast, saturation = 1 + c.recolour * rng.uniform(-1, 1, 3)
        tile = recolour(high, gain=gain, contrast=contrast, saturation=saturation)
        low = np.asarray(cv2.resize(tile, (self.tile, self.tile), interpolation=cv2.INTER_AREA), np.float32)
        present = rng.random() >= c.guide_dropout
        guide = self._guide(points * (self.tile / cut), present)
        low = in_8_bits(degrade(low, rng, c.degrade, c.degraded))
        return np.concatenate([low, guide], axis=2), tile

    def _guide(self, points: NDArray[np.float64], present: bool) -> NDArray[np.float32]:
        """(tile, tile, G) in [0, 1]; an absent guide has the same planes, empty."""
        if GUIDE_CHANNELS[self.guide] == 0:
            return np.zeros((self.tile, self.tile, 0), np.float32)
        return _unit(paint_guide(points, self.tile, self.guide, present=present))


def _unit(values: NDArray[Any]) -> NDArray[np.float32]:
    """0..255 to [0, 1]."""
    return np.asarray(np.divide(values, 255, dtype=np.float32))
