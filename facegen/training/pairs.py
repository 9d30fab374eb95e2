"""Low-res and high-res pairs for plain super-resolution, cut from pictures of any shape."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from facegen.data.split import Warn, readable
from facegen.errors import TrainingError
from facegen.media.images import resize
from facegen.ops.degradation import recolour
from facegen.training.datasets import Order

Reduction = Literal["bicubic", "area"]


class PairConfig(BaseModel):
    """How a high-res crop is cut and how its low-res side is made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    crop: int = Field(default=96, ge=8)
    """Side of the high-res crop; a multiple of the scale."""
    reduction: Reduction = "bicubic"
    """How the low-res side is made: "bicubic", antialiased, or the mean over each pixel's area."""
    zoom_max: float = Field(default=1.0, ge=1)
    """Half of the crops are cut from up to this many times their side and shrunk."""
    recolour: float = Field(default=0.0, ge=0, lt=1)
    """Range of random gain, contrast and saturation, both sides alike."""
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
    """(low_res, high_res) crops at every offset, mirrored at random."""

    def __init__(
        self, files: Sequence[Path], *, side: int, scale: int, config: PairConfig, seed: int, warn: Warn = print
    ) -> None:
        """Read the pictures.

        Args:
            side: pictures whose shorter side is longer are reduced to it.
        Raises:
            TrainingError: if no picture can be used.
        """
        self.scale, self.config, self.seed = scale, config, seed
        self.pictures, self.files = _load(files, side, config.crop, warn)
        self.order = Order(len(self.pictures), seed)

    def __len__(self) -> int:
        return len(self.pictures)

    def batch(self, start: int, size: int) -> tuple[Tensor, Tensor]:
        """Items start, start+1, ... of the training order.

        Returns:
            low_res (size, 3, crop/s, crop/s) and high_res (size, 3, crop, crop), both in [0, 1].
        """
        picked = zip(range(start, start + size), self.order.take(start, size), strict=True)
        crops = np.stack([self._crop(picture, np.random.default_rng((self.seed, 3, item))) for item, picture in picked])
        high = torch.from_numpy(crops).permute(0, 3, 1, 2)
        return reduce(high, self.scale, self.config.reduction), high

    def _crop(self, index: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """(crop, crop, 3) in [0, 1]."""
        c, picture = self.config, self.pictures[index]
        zoom = 1.0 if rng.random() < 0.5 else rng.uniform(1, c.zoom_max)
        cut = min(round(c.crop * zoom), *picture.shape[:2])
        top, left = (int(rng.integers(0, n - cut + 1)) for n in picture.shape[:2])
        region = picture[top : top + cut, left : left + cut]
        region = region[:, ::-1] if rng.random() < 0.5 else region
        turns = int(rng.integers(0, 4))
        region = np.ascontiguousarray(np.rot90(region, turns) if c.quarter_turns else region)
        shrunk = cv2.resize(region, (c.crop, c.crop), interpolation=cv2.INTER_AREA)
        unit = np.asarray(np.divide(shrunk, 255, dtype=np.float32))
        gain, contrast, saturation = 1 + c.recolour * rng.uniform(-1, 1, 3)
        return recolour(unit, gain=gain, contrast=contrast, saturation=saturation) if c.recolour else unit


def _load(files: Sequence[Path], side: int, least: int, warn: Warn) -> tuple[list[NDArray[np.uint8]], list[Path]]:
    """Pictures as (H, W, 3) uint8, and their files; those that cannot be read, or are too small, are told and left."""
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
