"""The blocks and ringing of a JPEG smoothed away, within what its file leaves open.

A JPEG holds the cosine components of squares of 8 x 8 samples, each rounded to a step that the file states. So every
picture whose components lie within half a step is as true to the file, and a smooth one is looked for among them: by
gradient descent on the total variation (Huber's, as slopes must not become stairs), the components held near the
file's after each round. After F. Alter, S. Durand and J. Froment, "Adapted Total Variation for Artifact Free
Decompression of JPEG Images", Journal of Mathematical Imaging and Vision 23, 2005.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from facegen.arrays import RGB

SIDE = 8
SHARE = 0.3
"""Part of a step by which a component may move; with half a step, texture goes as well."""
SLOPE = 8.0
"""Differences between neighbours, in levels of 255, up to which they are a slope rather than an edge."""
ROUNDS, PACE = 16, 5.0
"""Rounds of the descent, and how far a sample moves in the first, in levels of 255. What is left to smooth after them,
0.1 % at quality 55, takes another 24 rounds."""
TILE, MARGIN = 512, 32
"""Pixels smoothed at a time, which stay in a processor's cache, and what is read around them; whole blocks."""
TO_PLANES = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
"""JPEG's luma and chroma of RGB, without the offset."""


@dataclass(frozen=True)
class Quantisation:
    """The steps by which a JPEG's blocks are quantised."""

    luma: tuple[int, ...]
    """64 steps, row by row, the lowest vertical frequency first; in levels of 255."""
    chroma: tuple[int, ...]
    part: tuple[int, int] = (1, 1)
    """Pixels down and across that share one sample of the chroma: 1, 2 or 4."""


@torch.inference_mode()
def smooth_blocks(rgb: RGB, file: Quantisation) -> RGB:
    """Smooth a decoded JPEG whose blocks begin in its top left corner: (H, W, 3) to the same.

    Luma and chroma change by what stays within `SHARE` of the file's steps, up to rounding.
    """
    smooth = np.empty_like(rgb)
    for top in range(0, rgb.shape[0], TILE):
        for left in range(0, rgb.shape[1], TILE):
            first, outer = max(top - MARGIN, 0), max(left - MARGIN, 0)
            near = rgb[first : top + TILE + MARGIN, outer : left + TILE + MARGIN]
            inner = _smoothed(near, file)[top - first : top - first + TILE, left - outer : left - outer + TILE]
            smooth[top : top + TILE, left : left + TILE] = inner
    return smooth


def _smoothed(rgb: RGB, file: Quantisation) -> RGB:
    to_planes = torch.tensor(TO_PLANES)
    image = torch.from_numpy(rgb.astype(np.float32))  # (H, W, 3)
    luma, *chroma = (image @ to_planes.T).unbind(-1)
    shifts = [_shift(luma, file.luma, (1, 1)), *(_shift(plane, file.chroma, file.part) for plane in chroma)]
    moved = image + torch.stack(shifts, -1) @ torch.linalg.inv(to_planes).T
    return np.asarray(moved.round_().clamp_(0, 255).byte().numpy())


def _shift(plane: Tensor, steps: tuple[int, ...], part: tuple[int, int]) -> Tensor:
    """Compute the change by which smoothing alters an (H, W) plane of which `part` pixels share a sample."""
    height, width = plane.shape
    below, right = -height % (SIDE * part[0]), -width % (SIDE * part[1])
    samples = F.avg_pool2d(F.pad(plane[None, None], (0, right, 0, below), mode="replicate"), part)[0, 0]
    shift = _descend(samples, SHARE * samples.new_tensor(steps))
    if part != (1, 1):
        shift = F.interpolate(shift[None, None], scale_factor=part, mode="bilinear")[0, 0]
    return shift[:height, :width]


def _descend(plane: Tensor, most: Tensor) -> Tensor:
    """Find the change to a plane of whole blocks, (H, W), that makes it vary least; no component by more than (64,)."""
    blocks, cosines = (plane.shape[0] // SIDE, plane.shape[1] // SIDE), _cosines()
    shift = torch.zeros_like(plane)
    for number in range(ROUNDS):
        now = plane + shift
        across = F.pad(now[:, 1:] - now[:, :-1], (0, 1))
        down = F.pad(now[1:] - now[:-1], (0, 0, 0, 1))
        pace = (across * across).addcmul_(down, down).add_(SLOPE**2).rsqrt_().mul_(PACE * (1 - number / ROUNDS))
        across, down = across.mul_(pace), down.mul_(pace)
        shift.add_(across).add_(down)
        shift[:, 1:] -= across[:, :-1]
        shift[1:] -= down[:-1]
        components = shift.view(blocks[0], SIDE, blocks[1], SIDE).transpose(1, 2).reshape(-1, SIDE**2) @ cosines.T
        held = components.clamp_(-most, most) @ cosines
        shift = held.view(*blocks, SIDE, SIDE).transpose(1, 2).reshape(plane.shape)
    return shift


@cache
@torch.inference_mode(False)
def _cosines() -> Tensor:
    """(64, 64): a block's components from its samples, orthonormal."""
    n = torch.arange(SIDE, dtype=torch.float64)
    rows = torch.cos((2 * n + 1) * n[:, None] * math.pi / (2 * SIDE)) * math.sqrt(2 / SIDE)
    rows[0] /= math.sqrt(2)
    return torch.kron(rows, rows).float()
