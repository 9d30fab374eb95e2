"""Stage 2's training tiles, cut and degraded in batches on the device that trains."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field
from torch import Tensor

from facegen.arrays import RGB, Points
from facegen.data.split import Warn, load_square
from facegen.faces.guide import GuideMode, paint_guide
from facegen.faces.landmarks import landmarks_in_head
from facegen.training.damage import Colours, damage, degrade, in_8_bits
from facegen.training.datasets import area_means, shuffled
from facegen.training.random import ItemDraws

MARGIN = 16
"""Low-res pixels around a tile that are damaged with it: blur and JPEG's blocks cross its border, as in a photo."""
OLD = 1 / 3
"""Share of tiles with an old photo's colours where tiles are damaged."""
GUIDES, FINER = 2, 2
"""Guides painted for each head, each with other noise on the landmarks; their pixels for each low-res pixel."""


class TileConfig(BaseModel, extra="forbid", frozen=True):
    """How stage 2 tiles are cut, and how their low-res side is degraded."""

    zoom_max: float = Field(default=1.5, ge=1)
    """Half of the tiles are cut up to this many times larger and shrunk, so that training shows smaller heads too."""
    degrade: float = Field(default=1.0, ge=0, le=1)
    """Strength of blur, noise and JPEG on some of the low-res tiles."""
    degraded: float = Field(default=0.5, ge=0, le=1)
    """Share of the tiles that may be degraded."""
    damage: float = Field(default=0.0, ge=0, le=1)
    """Share of the tiles whose low-res side is damaged like a photo, at a strength from 0 to 1; if it is above 0, a
    third of all tiles get an old photo's colours, on both sides."""
    recolour: float = Field(default=0.15, ge=0, lt=1)
    """Range of random gain, contrast and saturation, the same on both sides."""
    guide_dropout: float = Field(default=0.15, ge=0, le=1)
    """Share of tiles with an empty guide, as for a face that is not found."""
    guide_jitter: float = Field(default=0.004, ge=0)
    """Standard deviation of noise on the landmarks, as a share of the head's side."""


class Places(NamedTuple):
    """Where tiles are cut: (B,) each, except the corners."""

    portrait: Tensor
    """Number of the portrait."""
    corner: Tensor
    """(B, 2) top and left, in pixels."""
    cut: Tensor
    """Side, in pixels."""
    flip: Tensor
    """True where the tile is mirrored."""


class TileDataset:
    """(stack, high-res tile) pairs for stage 2, cut at every offset from aligned portraits.

    Portraits and their guides are kept as uint8 on the device, and everything is computed there.
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
        device: torch.device | str = "cpu",
        strength: bool = False,
        landmarks: Mapping[Path, Points] | None = None,
        warn: Warn = print,
    ) -> None:
        """Read the portraits and paint their guides.

        Args:
            strength: add a plane to the stacks that tells how damaged their low-res side is.
            landmarks: by file, as from `known_landmarks`; those of other files are detected.
        """
        pictures, self.files = load_square(files, side, warn)
        given = {file: points * side for file, points in (landmarks or {}).items()}
        self.points = [
            given[file] if file in given else landmarks_in_head(picture).points
            for file, picture in zip(self.files, pictures, strict=True)
        ]
        self.pictures = torch.from_numpy(pictures).to(device)
        self.guides = torch.from_numpy(_painted(self.points, side, FINER * side // scale, guide, config)).to(device)
        self.tile, self.scale, self.config, self.strength = tile, scale, config, strength
        self.seed = seed

    @torch.no_grad()
    def batch(self, start: int, size: int) -> tuple[Tensor, Tensor]:
        """Items start, start+1, ...: stacks (size, C, tile, tile) and tiles (size, 3, s*tile, s*tile) in [0, 1]."""
        c, device = self.config, self.pictures.device
        items = torch.arange(start, start + size)
        drawn = self._places(items)
        places = Places(*(values.to(device, non_blocking=True) for values in drawn))
        together = 1 if device.type == "cpu" else size  # small matrices stay in a processor's cache
        parts = zip(*(torch.split(values, together) for values in (*places, drawn.cut)), strict=True)
        cuts = [self._cut(Places(*part), int(sides.max())) for *part, sides in parts]  # waits for no GPU
        high, around = (torch.cat(side) for side in zip(*cuts, strict=True))
        draws = ItemDraws(2 * self.seed, items.to(device, non_blocking=True))
        colours = Colours(draws, c.recolour, OLD if c.damage else 0.0)
        high = colours(high)
        low = in_8_bits(degrade(F.avg_pool2d(high, self.scale), draws, c.degrade, c.degraded))
        strength = draws.uniform() * draws.chance(c.damage)
        if c.damage:
            worn = damage(colours(around), draws, strength)[..., MARGIN:-MARGIN, MARGIN:-MARGIN]
            low = torch.where(strength.view(-1, 1, 1, 1) > 0, worn, low)
        planes = [low, self._guide(places, draws)]
        if self.strength:
            planes.append(strength.view(-1, 1, 1, 1).expand_as(low[:, :1]))
        return torch.cat(planes, dim=1), high

    def _places(self, items: Tensor) -> Places:
        c, side, out = self.config, self.pictures.shape[1], self.tile * self.scale
        draws = ItemDraws(2 * self.seed + 1, items)
        zoom = torch.where(draws.chance(0.5), torch.ones(len(items)), draws.uniform(low=1.0, high=c.zoom_max))
        cut = (out * zoom).round().clamp(max=side).long()
        index = torch.tensor(shuffled(len(self.pictures), self.seed, int(items[0]), len(items)))
        return Places(index, draws.integers(side - cut + 1, 2), cut, draws.chance(0.5))

    def _cut(self, places: Places, largest: int) -> tuple[Tensor, Tensor]:
        """The tiles, (B, 3, s*tile, s*tile), and their low-res side with a margin, which is empty without damage."""
        high = self._shrunk(places, largest, self.tile * self.scale, 0)
        if not self.config.damage:
            return high, high[:, :, :0]
        return high, self._shrunk(places, largest, self.tile, MARGIN)

    def _shrunk(self, places: Places, largest: int, side: int, margin: int) -> Tensor:
        """Shrink tiles to `side` pixels, with `margin` more such pixels around; no cut is larger than `largest`.

        Portraits are mirrored at their borders: (B, 3, side + 2 * margin, side + 2 * margin) in [0, 1].
        """
        device, last, out = self.pictures.device, self.pictures.shape[1] - 1, side + 2 * margin
        step = places.cut / side
        before = (margin * step).ceil()
        room = math.ceil(math.ceil(margin * largest / side) - margin * largest / side + largest / side * out)
        start = (places.corner - before.long()[:, None])[..., None] + torch.arange(room, device=device)
        mirrored = start.abs() % (2 * last)
        rows, columns = torch.minimum(mirrored, 2 * last - mirrored).unbind(1)
        region = self.pictures[places.portrait[:, None, None], rows[:, :, None], columns[:, None, :]]
        shrunk = area_means(region, before - margin * step, step, out)
        return torch.where(places.flip[:, None, None, None], shrunk.flip(2), shrunk).permute(0, 3, 1, 2)

    def _guide(self, places: Places, draws: ItemDraws) -> Tensor:
        """Sample the tiles' guides from the painted ones, moved at random: (B, C, tile, tile) in [0, 1]."""
        c, side = self.config, self.pictures.shape[1]
        if not self.guides.shape[-1]:
            return torch.zeros(len(places.cut), 0, self.tile, self.tile, device=self.guides.device)
        painted = self.guides[places.portrait, draws.integers(GUIDES)]
        corner = places.corner + c.guide_jitter * side * draws.normal(2)
        down = torch.arange(FINER * self.tile, device=corner.device).add(0.5) / (FINER * self.tile)
        across = torch.where(places.flip[:, None], down.flip(0), down)
        offsets = torch.stack([down.expand_as(across), across], dim=1) * places.cut[:, None, None]
        y, x = ((corner[..., None] + offsets) / side * 2 - 1).unbind(1)
        grid = torch.stack([x[:, None, :].expand(-1, y.shape[1], -1), y[:, :, None].expand(-1, -1, x.shape[1])], dim=-1)
        sampled = F.grid_sample(painted.permute(0, 3, 1, 2).float().div(255), grid, align_corners=False)
        present = draws.chance(1 - c.guide_dropout, 1, 1, 1)  # an absent guide has the same planes, empty
        return F.avg_pool2d(sampled, FINER) * present


def _painted(points: Sequence[Points], side: int, painted: int, guide: GuideMode, config: TileConfig) -> RGB:
    """Paint the guides of heads of `side` px, with half of the noise on the landmarks: (N, GUIDES, h, h, C) of
    h = `painted` px."""

    def paint(number: int) -> RGB:
        rng, found = np.random.default_rng((number, 5)), points[number]
        noise = rng.normal(0, config.guide_jitter * side / 2, (GUIDES, *found.shape))
        return np.stack([paint_guide((found + n) * (painted / side), painted, guide) for n in noise])

    with ThreadPoolExecutor() as pool:
        return np.stack(list(pool.map(paint, range(len(points)))))
